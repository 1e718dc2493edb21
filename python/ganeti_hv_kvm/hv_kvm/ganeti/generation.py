"""What differs between the Ganeti versions we run under, found by feature, never by number.

Ganeti 3.0 describes disks to QEMU with ``-drive``; from 3.1 on it does so with ``-blockdev`` and
``-device``. Everything else that depends on the running Ganeti is a constant of this module.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NamedTuple

from ganeti import constants, errors, pathutils

try:
    from ganeti.utils.bitarray_compat import bitarray  # the development version's own wrapper
except ImportError:
    from bitarray import bitarray

__all__ = [
    "BLOCKDEV",
    "DEVELOPMENT",
    "DIALECT",
    "DISCARD_DEFAULT",
    "DRIVE",
    "HAS_BLOCKDEV",
    "MEMORY_METHOD",
    "MEMORY_TARGET",
    "NIC_SETUP_SCRIPT",
    "VCPU_TARGET",
    "Dialect",
    "bitarray",
    "detect_dialect",
]


def _words_at_spaces(text: str) -> list[str]:
    # Two spaces in a row must not become an empty argument: QEMU takes it for a disk image.
    return [word for word in text.split(" ") if word]


def _words_of_shell(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as err:
        raise errors.HypervisorError(
            f"{constants.HV_KVM_EXTRA} cannot be split into words ({err}): {text!r}"
        ) from err


class Dialect(NamedTuple):
    """How one Ganeti generation words QEMU's command line."""

    name: str
    blockdev: bool
    """Disks, CD-ROMs and floppies as -blockdev plus -device, else as -drive."""
    boot_prefix: str
    """What stands before the drive letter of -boot."""
    chroot_is_stored: bool
    """The chroot belongs to the stored command, else it is added at execution."""
    split_extra: Callable[[str], list[str]]
    """Splits the parameter kvm_extra into arguments."""
    names_threads: bool = False
    """QEMU's threads get names, where it does not do so by itself."""
    boot_by_index: bool = False
    """What to start from is a property of the device (bootindex), else of -boot."""


DRIVE = Dialect(
    name="drive",
    blockdev=False,
    boot_prefix="",
    chroot_is_stored=True,
    split_extra=_words_at_spaces,
)

BLOCKDEV = Dialect(
    name="blockdev",
    blockdev=True,
    boot_prefix="order=",
    chroot_is_stored=False,
    split_extra=_words_of_shell,
)

DEVELOPMENT = BLOCKDEV._replace(names_threads=True, boot_by_index=True)


def detect_dialect(known: object = constants, paths: object = pathutils) -> Dialect:
    """The dialect of the Ganeti whose ``constants`` and ``pathutils`` modules are given.

    Ganeti gave up the value "default" of disk_discard when it moved to -blockdev; the script that
    undoes what it did for a NIC came after that.
    """
    if hasattr(known, "HT_DISCARD_DEFAULT"):
        return DRIVE
    return DEVELOPMENT if hasattr(paths, "KVM_NIC_SETUP") else BLOCKDEV


DIALECT = detect_dialect()

HAS_BLOCKDEV = DIALECT.blockdev

DISCARD_DEFAULT: str | None = getattr(constants, "HT_DISCARD_DEFAULT", None)
"""The value of disk_discard that leaves the choice to QEMU, or None where there is none."""

NIC_SETUP_SCRIPT: str = (
    pathutils.KVM_NIC_SETUP if hasattr(pathutils, "KVM_NIC_SETUP") else pathutils.KVM_IFUP
)
"""The script that Ganeti runs to put a TAP device into its network."""


def _hotplug_target(word: str) -> str | None:
    targets: list[str] = sorted(constants.HOTPLUG_ALL_TARGETS)
    return next((target for target in targets if word in target.lower()), None)


VCPU_TARGET = _hotplug_target("cpu")
"""The kind of hot-plug device that is a vCPU; None where Ganeti hot-plugs none.

Upstream's design (doc/design-vcpu-hotplug.rst) makes it a target beside disks and NICs, and leaves
its name open; so does doc/design-memory-hotplug.rst.
"""

MEMORY_TARGET = _hotplug_target("mem")
"""The kind of hot-plug device that is memory; None where there is none."""

MEMORY_METHOD: str | None = (
    "memory_hotplug_method"
    if "memory_hotplug_method" in constants.HVC_DEFAULTS[constants.HT_KVM]
    else None
)
"""The parameter that gives a guest a device for more memory; None where Ganeti has no such."""
