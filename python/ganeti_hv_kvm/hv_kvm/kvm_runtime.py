"""What a running guest was started with, as kept in its runtime file.

The file's format is Ganeti's, so that either module can take over a guest that the other started:
JSON of [command, NICs, hypervisor parameters, disks].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ganeti import errors, objects, serializer

from ganeti_hv_kvm import json_shapes as shapes

from .command_line import runtime_upgrade
from .ganeti.block_devices import BlockDevice
from .ganeti.unfit_values import UNFIT, why

(
    _KVM_CMD_RUNTIME_INDEX,
    _KVM_NICS_RUNTIME_INDEX,
    _KVM_HV_RUNTIME_INDEX,
    _KVM_DISKS_RUNTIME_INDEX,
) = range(4)

_ELEMENTS: tuple[tuple[str, type], ...] = (
    ("command", list),
    ("NICs", list),
    ("hypervisor parameters", dict),
    ("disks", list),
)
# Members of a disk or NIC on which all work with it relies.
_OF_A_DEVICE: Mapping[str, type] = {
    "hvinfo": dict,
    "nicparams": dict,
    "params": dict,
    "uuid": str,
    "mac": str,
    "dev_type": str,
    "mode": str,
}
# The oldest files have no disks.
_LENGTHS = (3, 4)

_Object = TypeVar("_Object")


class KVMRuntime:
    """A guest's command, NICs, hypervisor parameters and disks.

    Behaves as Ganeti 3.0's tuple of the four as well: it has a length, an order and indexes. The
    lists are not copied: what is appended to them belongs to the runtime.
    """

    def __init__(self, data: Sequence[Any]) -> None:
        """Take (command, ``objects.NIC``s, parameters, disks as (``objects.Disk``, link, URI))."""
        if len(data) != len(_ELEMENTS):
            raise errors.ProgrammerError(
                f"a KVM runtime has {len(_ELEMENTS)} elements, {len(data)} were given"
            )
        self.data: list[Any] = list(data)

    def __getitem__(self, idx: int) -> Any:
        return self.data[idx]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def kvm_cmd(self) -> list[str]:
        """QEMU's arguments, without what belongs to one start alone, such as TAP devices."""
        command: list[str] = self.data[_KVM_CMD_RUNTIME_INDEX]
        return command

    @property
    def kvm_nics(self) -> list[objects.NIC]:
        """The NICs, as ``objects.NIC``."""
        nics: list[objects.NIC] = self.data[_KVM_NICS_RUNTIME_INDEX]
        return nics

    @property
    def up_hvp(self) -> dict[str, object]:
        """The hypervisor parameters at the time of the start."""
        hvparams: dict[str, object] = self.data[_KVM_HV_RUNTIME_INDEX]
        return hvparams

    @property
    def kvm_disks(self) -> list[BlockDevice]:
        """The disks, as (``objects.Disk``, path of its device, URI or None)."""
        disks: list[BlockDevice] = self.data[_KVM_DISKS_RUNTIME_INDEX]
        return disks

    def serialize(self) -> bytes:
        """Give the content of the runtime file."""
        nics = [nic.ToDict() for nic in self.kvm_nics]
        disks = [(disk.ToDict(), link, uri) for disk, link, uri in self.kvm_disks]
        return serializer.Dump((self.kvm_cmd, nics, self.up_hvp, disks))

    @staticmethod
    def from_serialized(serialized: str | bytes, upgrade: bool = True) -> KVMRuntime:
        """Read the content of a runtime file, brought up to date unless ``upgrade`` is false.

        Raises:
            errors.HypervisorError: the file is damaged, with the place.
        """
        command, nics, hvparams, disks = _load(serialized, upgrade)
        return KVMRuntime(
            [
                command,
                [
                    _object("NIC", place, objects.NIC.FromDict, nic)
                    for place, nic in enumerate(shapes.entries(nics))
                ],
                hvparams,
                [
                    (_object("disk", place, objects.Disk.FromDict, shapes.members(disk)), *rest)
                    for place, (disk, *rest) in enumerate(map(shapes.items, shapes.items(disks)))
                ],
            ]
        )


def _damaged(problem: str) -> Exception:
    error: Exception = errors.HypervisorError(f"the KVM runtime file is damaged: {problem}")
    return error


def _load(serialized: str | bytes, upgrade: bool) -> list[object]:
    try:
        loaded = serializer.Load(serialized)
    except (ValueError, RecursionError) as err:
        raise _damaged(f"it is not JSON ({err})") from err
    _drop_migration(loaded)
    _check_form(loaded)
    runtime_upgrade.add_disks(loaded)
    if not upgrade:
        return list(loaded)
    try:
        return runtime_upgrade.upgrade(loaded)
    except KeyError as err:
        raise _damaged(f"it is of an old form, and has no {err}") from err
    except UNFIT as err:
        raise _damaged(f"it is of an old form, and cannot be upgraded: {why(err)}") from err


def _drop_migration(loaded: object) -> None:
    """Ganeti's own module keeps what ours told it, as a fifth element, when it sent a guest."""
    whole = len(_ELEMENTS)
    if isinstance(loaded, list) and len(loaded) > whole and isinstance(loaded[whole], dict):
        del loaded[whole:]


def _check_form(loaded: object) -> None:
    if not isinstance(loaded, list) or len(loaded) not in _LENGTHS:
        raise _damaged(f"it is not a list of {' or '.join(map(str, _LENGTHS))} elements")
    for (name, kind), element in zip(_ELEMENTS, loaded, strict=False):
        if not isinstance(element, kind):
            raise _damaged(f"{name}: no {kind.__name__}, but a {type(element).__name__}")
    for word in loaded[_KVM_CMD_RUNTIME_INDEX]:
        if not isinstance(word, str | int | float):
            raise _damaged(f"command: no text, but a {type(word).__name__}")
    for place, nic in enumerate(loaded[_KVM_NICS_RUNTIME_INDEX]):
        if not isinstance(nic, dict):
            raise _damaged(f"NIC {place}: no dict, but a {type(nic).__name__}")
        _check_device(f"NIC {place}", nic)
    disks = loaded[_KVM_DISKS_RUNTIME_INDEX] if len(loaded) == len(_ELEMENTS) else []
    for place, entry in enumerate(disks):
        if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], dict):
            raise _damaged(f"disk {place}: no list of a dict, a link and a URI")
        _check_device(f"disk {place}", entry[0])
        if not all(value is None or isinstance(value, str) for value in entry[1:]):
            raise _damaged(f"disk {place}: its link or URI is no text")


def _check_device(what: str, device: dict[str, object]) -> None:
    for name, kind in _OF_A_DEVICE.items():
        value = device.get(name)
        if value is not None and not isinstance(value, kind):
            raise _damaged(f"{what}: its {name} is no {kind.__name__}: {value!r:.50}")


def _object(
    what: str, place: int, make: Callable[[dict[str, object]], _Object], values: dict[str, object]
) -> _Object:
    # Ganeti's objects complain in their own ways about what they do not know.
    try:
        return make(values)
    except (errors.GenericError, AttributeError, KeyError, TypeError, ValueError) as err:
        raise _damaged(f"{what} {place} cannot be read ({err})") from err


def _upgrade_serialized_runtime(loaded_runtime: list[object]) -> list[object]:
    return runtime_upgrade.upgrade(loaded_runtime)


# Ganeti 3.0's names, in its ``hv_kvm``.


def _UpgradeSerializedRuntime(serialized_runtime: str | bytes) -> tuple[object, ...]:
    return tuple(_load(serialized_runtime, upgrade=True))


def _AnalyzeSerializedRuntime(serialized_runtime: str | bytes) -> KVMRuntime:
    return KVMRuntime.from_serialized(serialized_runtime)
