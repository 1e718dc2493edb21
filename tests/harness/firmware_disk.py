"""A guest's firmware disk, seeded from Debian's OVMF as Ganeti does it for a new instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import instance

OVMF = Path("/usr/share/OVMF")
#: Code and variables; those of Secure Boot hold Microsoft's keys.
PLAIN = ("OVMF_CODE.fd", "OVMF_VARS.fd")
SECURE = ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd")

_MEBIBYTES = 32


def disk(
    folder: Path, index: int = 99, templates: tuple[str, str] = PLAIN, name: str = "firmware.img"
) -> tuple[Any, str, None]:
    """A file in ``folder`` as a disk with that role, a new one seeded; ``index`` makes its UUID."""
    image = folder / name
    if not image.exists():
        image.write_bytes(seeded(templates))
    device, _, _ = instance.disk(folder, index, mebibytes=_MEBIBYTES)
    device.role = "firmware"
    device.logical_id = (device.logical_id[0], str(image))
    return device, str(image), None


def named(folder: Path, index: int = 99, *, mebibytes: int = _MEBIBYTES) -> tuple[Any, str, None]:
    """A file in ``folder`` as a disk with that name, a new one blank: for the tag."""
    device, image, _ = instance.disk(folder, index, mebibytes=mebibytes)
    device.name = "firmware"
    return device, image, None


def seeded(templates: tuple[str, str] = PLAIN) -> bytes:
    """The content of a new firmware disk."""
    from ganeti_hv_kvm.hv_kvm import firmware

    parts = [(OVMF / name).read_bytes() for name in templates]
    layout = firmware.ComputeLayout(*map(len, parts))
    content = bytearray(_MEBIBYTES << 20)
    content[: firmware.SECTOR_SIZE] = firmware.PackSuperblock(layout)
    for (offset, size), part in zip(layout.values(), parts, strict=True):
        content[offset : offset + size] = part
    return bytes(content)


def region(image: str | Path, name: str) -> bytes:
    """What a disk holds in its region "code" or "vars"."""
    from ganeti_hv_kvm.hv_kvm import firmware

    with Path(image).open("rb") as file:
        offset, size = firmware.UnpackSuperblock(file.read(firmware.SECTOR_SIZE))[name]
        file.seek(offset)
        return file.read(size)


def has_variable(image: str | Path, name: str, value: bytes = b"") -> bool:
    """Whether a variable of this name, and this value in it, was written."""
    variables = region(image, "vars")
    return name.encode("utf-16-le") + b"\0\0" + value in variables
