"""Which options of its tags a guest has, and when others are in force; what can be applied at once.

What a guest was born with is in its runtime file; what it was started with, and its limits, QEMU
tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti import errors

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import guest_devices, iothreads, memory_backing
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options, When
from ganeti_hv_kvm.hv_kvm.guest import disk_limits
from ganeti_hv_kvm.hv_kvm.guest.disk_limits import LIMITS_STAY, DiskLimits
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import nic_mtu
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, disks
from ganeti_hv_kvm.qmp_values import forms

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_NONE = "-"
_UNKNOWN = "?"
_MOST_NODES = 1 << 16


class Row(NamedTuple):
    """One option of a guest that runs.

    Attributes:
        name: of the option.
        wanted: its value by tag, "-" where there is no tag.
        in_force: what the guest has, "-" for nothing, "?" where that cannot be told.
        change: when the wanted value is in force; "" where it is.
    """

    name: str
    wanted: str
    in_force: str
    change: str


class Report(NamedTuple):
    """The options of a guest, and what is wrong with its tags."""

    rows: list[Row]
    problems: list[str]


def of(guest: Guest) -> Report:
    """Tell which options a guest has that runs on this node.

    Args:
        guest: its instance has the tags of today.

    Raises:
        errors.HypervisorError: there is no runtime file, or QEMU does not answer.
    """
    options, problems = guest_options.parse(guest_options.tags_of(guest.instance))
    runtime = guest.load()
    with guest.monitor() as qmp:
        rows = [
            *_limits(guest, runtime, qmp, options),
            *_threads(guest, runtime, qmp, options),
            *_memory(qmp, options),
            *_mtus(runtime, options),
            *_born_with(runtime, options),
        ]
    if options.has_wrong_limit:
        problems.append(f"until that is right, {LIMITS_STAY}")
    return Report(rows, problems)


def apply(guest: Guest) -> None:
    """Let a guest that runs have what its tags ask for, as far as that needs no new start.

    A slip in a limit takes none away: what is in force stays until the tag is right. Where it
    cannot be told which limit of which disk that is, all stay.

    Raises:
        errors.HypervisorError: it has no runtime file, or QEMU does not answer, or refuses.
    """
    options, _ = guest_options.parse(guest_options.tags_of(guest.instance))
    kept = options.wrong_kinds
    if kept is None:
        return
    limits = disk_limits.of(guest.instance.hvparams, options)
    disks = boot_type.numbered_data_disks(guest.load().kvm_disks)
    with guest.monitor() as qmp:
        disk_limits.apply(qmp, limits, disks, guest.instance.uuid, kept)


def _row(name: str, options: Options, in_force: str, *, is_default: bool) -> Iterator[Row]:
    """Give a row, unless nobody asked for the option and the guest has nothing of it."""
    wanted = options.values.get(name)
    if wanted is None and is_default:
        return
    option = guest_options.option_of(name)
    text = _NONE if wanted is None else guest_options.words(wanted)
    is_so = text == in_force or (in_force == _NONE and wanted in (0, "off"))
    yield Row(name, text, in_force, "" if is_so or option is None else option.when.value)


def _limits(
    guest: Guest, runtime: KVMRuntime, qmp: QmpConnection, options: Options
) -> Iterator[Row]:
    limits = disk_limits.of(guest.instance.hvparams, options)
    disks = dict(boot_type.numbered_data_disks(runtime.kvm_disks))
    seen = dict(zip(disks, disk_limits.in_force(qmp, disks.values()), strict=True))
    common = [one for number, one in seen.items() if number not in limits.own]
    for kind in DiskLimits._fields:
        yield from _limit(f"disk-{kind}", kind, limits.common, common, options)
    for number in sorted(limits.own):
        own = [seen[number]] if number in seen else []
        for kind in DiskLimits._fields:
            name = f"disk{number}-{kind}"
            if name in options.values:
                yield from _limit(name, kind, limits.own[number], own, options)


def _limit(
    name: str, kind: str, wanted: DiskLimits, seen: Sequence[DiskLimits | None], options: Options
) -> Iterator[Row]:
    found = {getattr(one, kind) if one is not None else None for one in seen}
    texts = [_UNKNOWN if one is None else str(one) for one in sorted(found, key=str)]
    is_default = found <= {0}
    in_force = "/".join(texts) if not is_default else _NONE
    for row in _row(name, options, in_force, is_default=is_default):
        # a parameter of Ganeti's may ask for it as well
        is_so = found <= {getattr(wanted, kind)}
        yield row._replace(change="" if is_so else When.APPLY.value)


def _threads(
    guest: Guest, runtime: KVMRuntime, qmp: QmpConnection, options: Options
) -> Iterator[Row]:
    threads = iothreads.count_in_qemu(disks.query_iothreads(qmp))
    hvp = guest.hvp(runtime) | iothreads.as_parameter(options)
    vcpus = command_line.vcpus_of(runtime.kvm_cmd)
    # where threads cannot serve the disks, or fewer do, that is said by the number alone
    expected = iothreads.count(hvp, guest.facts(), vcpus) or iothreads.count_by_tag(
        options, hvp, guest.facts(), vcpus
    )
    text = str(threads) if threads else _NONE
    for row in _row("iothreads", options, text, is_default="iothreads" not in options.values):
        yield row._replace(change="" if threads == expected else row.change)


def _memory(qmp: QmpConnection, options: Options) -> Iterator[Row]:
    pages = _huge_pages(qmp)
    yield from _row("hugepages", options, pages, is_default=pages == _NONE)
    nodes = _host_nodes(qmp)
    yield from _row("numa", options, nodes, is_default=nodes == _NONE)


def _huge_pages(qmp: QmpConnection) -> str:
    path = f"/objects/{memory_backing.ID}"
    try:
        if not control.qom_get(qmp, path, "hugetlb"):
            return _NONE
        size = control.qom_get(qmp, path, "hugetlbsize")
    except errors.HypervisorError:
        return _NONE  # memory of another kind has no such property
    return (
        {2 << 20: "2M", 1 << 30: "1G"}.get(size, "default") if isinstance(size, int) else _UNKNOWN
    )


def _host_nodes(qmp: QmpConnection) -> str:
    for one in control.query_memdev(qmp):
        nodes = one.get("host-nodes")
        if one.get("id") == memory_backing.ID and isinstance(nodes, list) and nodes:
            first, last = (
                forms.a_number("query-memdev", node, _MOST_NODES) for node in (nodes[0], nodes[-1])
            )
            return str(first) if first == last else f"{first}-{last}"
    return _NONE


def _mtus(runtime: KVMRuntime, options: Options) -> Iterator[Row]:
    born = [(nic.hvinfo or {}).get(nic_mtu.PROPERTY) for nic in runtime.kvm_nics]
    text = "/".join(_NONE if one is None else str(one) for one in born) or _NONE
    is_default = not any(born)
    for row in _row("mtu", options, _NONE if is_default else text, is_default=is_default):
        yield row._replace(change="" if _mtus_would_stay(runtime, options) else When.NIC.value)


def _mtus_would_stay(runtime: KVMRuntime, options: Options) -> bool:
    try:
        return all(
            nic_mtu.at_birth(nic, options).get(nic_mtu.PROPERTY)
            == (nic.hvinfo or {}).get(nic_mtu.PROPERTY)
            for nic in runtime.kvm_nics
        )
    except errors.HypervisorError:
        return False


def _born_with(runtime: KVMRuntime, options: Options) -> Iterator[Row]:
    command = [str(word) for word in runtime.kvm_cmd]
    balloon = command_line.has_balloon(command)
    yield from _row("balloon", options, "on" if balloon else "off", is_default=balloon)
    rng = guest_devices.has(command, "rng")
    yield from _row("rng", options, "on" if rng else _NONE, is_default=not rng)
    for name in ("watchdog", "panic"):
        action = guest_devices.action_of(command, name)
        yield from _row(name, options, action or _NONE, is_default=action is None)
    has_uefi = command_line.uefi.is_used(command)
    by_parameter = boot_type.uses_ovmf(boot_type.of(runtime.up_hvp))
    in_force = "uefi" if has_uefi else _NONE
    yield from _row("firmware", options, in_force, is_default=not has_uefi or by_parameter)
