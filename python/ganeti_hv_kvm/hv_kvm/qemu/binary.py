"""Asks a QEMU program what it can do: ``--help``, ``-machine ?`` and ``-device ?``.

One run of QEMU costs 15 to 30 ms, so each question is asked only when its answer is needed, and
not again while the binary stays the same (``binary_cache``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import FunctionType

from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti import child_status

from . import binary_cache
from .facts import (
    CPU_LIST,
    KVMOPT_DEVICELIST,
    KVMOPT_HELP,
    KVMOPT_MLIST,
    VIRTIO_BLK,
    VIRTIO_SCSI,
    QemuFacts,
    Version,
    parse_default_machine,
    parse_version,
)

KVMOPTS_CMDS: Mapping[str, tuple[list[str], bool]] = {
    KVMOPT_HELP: (["--help"], False),
    KVMOPT_MLIST: (["-machine", "?"], False),
    # Old QEMU ends with status 1 after it has printed the list.
    KVMOPT_DEVICELIST: (["-device", "?"], True),
    CPU_LIST: (["-cpu", "help"], True),
    # The properties of one device; a QEMU without it fails.
    VIRTIO_BLK: (["-device", f"{VIRTIO_BLK},?"], True),
    VIRTIO_SCSI: (["-device", f"{VIRTIO_SCSI},?"], True),
}
"""The question's arguments, and whether the answer counts when QEMU's exit status does not."""


def get_output(path: str, option: str) -> str:
    """Asks the QEMU at ``path`` one question of ``KVMOPTS_CMDS`` and returns what it prints.

    Raises HypervisorError if QEMU cannot be run or fails.
    """
    return str(_ask(path, option).output)


def _ask(path: str, option: str) -> utils.RunResult:
    if option not in KVMOPTS_CMDS:
        raise errors.ProgrammerError(f"no such question to QEMU: {option!r}")
    arguments, may_fail = KVMOPTS_CMDS[option]
    try:
        result = utils.RunCmd([path, *arguments])
    except (OSError, UnicodeError, errors.OpExecError) as err:
        raise errors.HypervisorError(
            f"{path} {' '.join(arguments)} could not be run: {err}"
        ) from err
    # one that was killed may have said a part of it
    if result.failed and not (may_fail and getattr(result, "signal", None) is None):
        raise errors.HypervisorError(
            f"{path} {' '.join(arguments)} failed ({result.fail_reason}), so it is not known what"
            f" this QEMU can do: {result.output}"
        )
    return result


def known_output(path: str, option: str) -> str:
    """As ``get_output``, but asks only a binary that is not known yet.

    Ganeti's tests replace ``utils.RunCmd``: what it says then is neither read from the disk nor
    kept there.
    """
    genuine = isinstance(utils.RunCmd, FunctionType)
    identity = binary_cache.identity(path) if genuine else None
    if identity is None:
        return get_output(path, option)
    answer = binary_cache.load(path, identity).get(option)
    if answer is not None:
        return answer
    result = _ask(path, option)
    if not result.output.strip():
        raise errors.HypervisorError(
            f"{path} said nothing when asked for {option!r}: it is not known what this QEMU can do"
        )
    complete = not result.failed and child_status.is_told()
    # the binary may have been replaced while it ran
    if complete and binary_cache.identity(path) == identity:
        binary_cache.store(path, identity, option, result.output)
    return str(result.output)


def get_version(path: str) -> Version:
    """The version of the QEMU at ``path``; raises HypervisorError."""
    return parse_version(known_output(path, KVMOPT_HELP))


def get_default_machine(path: str) -> str:
    """The default machine of the QEMU at ``path``; raises HypervisorError."""
    return parse_default_machine(known_output(path, KVMOPT_MLIST))


def probe(path: str) -> QemuFacts:
    """The facts about the QEMU at ``path``; each question is put to it when first needed.

    Reading a fact raises HypervisorError if QEMU fails to answer.
    """
    return QemuFacts(path, functools.partial(known_output, path))
