"""What UEFI code tells of itself: is it made for system management mode (SMM)?

Only such code keeps the variables of Secure Boot from the guest's kernel, and it does not run
without SMM. Code without it would find its variables write-protected if they were kept for SMM.
So the image itself is looked at: its volumes are compressed (UEFI Platform Initialization
specification, volume 3, GUID-defined sections), and one of the files in them is SMM's core.
"""

from __future__ import annotations

import contextlib
import lzma
import uuid
from collections.abc import Iterator

#: Of a section that is compressed by LZMA (EDK II, MdeModulePkg).
_LZMA = uuid.UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le
#: The file PiSmmCore (EDK II, MdeModulePkg).
_SMM_CORE = uuid.UUID("e94f54cd-81eb-47ed-aec3-856f5dc157a9").bytes_le
#: Bytes; OVMF's volumes have 13.5 MB.
_MOST = 64 << 20
#: Of a section: its header before the GUID, and the field behind that says where its data begin.
_HEADER, _DATA_AT = 4, 16


def needs_smm(code: bytes) -> bool:
    """Tell whether the image has SMM's core; False for an image of another form."""
    return _SMM_CORE in code or any(_SMM_CORE in volume for volume in _volumes(code))


def _volumes(code: bytes) -> Iterator[bytes]:
    at = code.find(_LZMA)
    while at >= 0:
        begin = at - _HEADER + int.from_bytes(code[at + _DATA_AT : at + _DATA_AT + 2], "little")
        # what is no such section is the GUID alone, in a list of those that the code knows
        with contextlib.suppress(lzma.LZMAError, EOFError):
            yield lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(code[begin:], _MOST)
        at = code.find(_LZMA, at + 1)
