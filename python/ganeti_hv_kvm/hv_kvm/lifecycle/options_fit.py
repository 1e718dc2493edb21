"""Whether a guest can have what its tags ask for: with its parameters, and on this node."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.command_line import iothreads, memory_backing, uefi
from ganeti_hv_kvm.hv_kvm.ganeti import guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import memory, nic_mtu
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

if TYPE_CHECKING:
    from ganeti import objects

Problem = tuple[str, str]
"""The name of an option that a guest cannot have, and why."""


def for_start(instance: objects.Instance) -> Options:
    """Give the options of a guest that is down, and is to have all of them.

    Raises:
        errors.HypervisorError: each that is wrong, or that it cannot have.
    """
    options = guest_options.for_start(instance)
    problems = [
        *_of_parameters(options, instance.hvparams, instance.beparams),
        *_of_node(options, number(instance.beparams, constants.BE_MAXMEM), 0),
    ]
    if problems:
        guest_options.refuse(instance.name, [why for _, why in problems])
    return options


def for_running(guest: Guest, runtime: KVMRuntime) -> Options:
    """Give the options that a guest can have which lives, here or on another node.

    What it cannot have is logged: the guest comes first.
    """
    options = guest_options.for_running(guest.instance)
    problems: list[Problem] = []
    if options:
        size = memory_backing.mebibytes(runtime.kvm_cmd)
        problems = [
            *_of_parameters(options, guest.hvp(runtime), guest.instance.beparams),
            *_of_node(options, size, _huge_pages_of(guest, size)),
        ]
    for _, problem in problems:
        guest_options.warn(guest.name, problem)
    _tell_of_links(guest.name, runtime.kvm_nics)
    cannot = {name for name, _ in problems}
    return Options({name: options.values[name] for name in options.values if name not in cannot})


def _of_parameters(
    options: Options, hvp: Mapping[str, object], beparams: Mapping[str, object]
) -> Iterator[Problem]:
    least, most = number(beparams, constants.BE_MINMEM), number(beparams, constants.BE_MAXMEM)
    if not options.is_on("balloon", True) and least < most:
        yield (
            "balloon",
            "tag hv-kvm:balloon:off: without a balloon its memory cannot change while it runs, but"
            f" minmem is {least} and maxmem {most} (gnt-instance modify -B memory=...)",
        )
    if options.number("iothreads") and (why := iothreads.why_none(hvp)):
        yield "iothreads", f"tag hv-kvm:iothreads: {why}"
    if options.asks_for_uefi and (why := uefi.why_none(hvp)):
        yield "firmware", f"tag hv-kvm:firmware: {why}"
    for name in ("hugepages", "numa"):
        if name in options.values and (why := memory_backing.why_none(hvp)):
            yield name, f"tag hv-kvm:{name}: {why}"


def _of_node(options: Options, mebibytes: int, freed: int) -> Iterator[Problem]:
    pages, nodes = options.word("hugepages"), options.word("numa")
    if pages and (why := memory.why_no_huge_pages(pages, mebibytes, freed)):
        yield "hugepages", f"tag hv-kvm:hugepages: {why}"
    if nodes and (why := memory.why_no_nodes(nodes)):
        yield "numa", f"tag hv-kvm:numa: {why}"


def _huge_pages_of(guest: Guest, mebibytes: int) -> int:
    """How much of its memory, in MiB, a guest that runs here has in huge pages now."""
    try:
        pid = guest.pid()
        command = utils.ReadFile(f"/proc/{pid}/cmdline") if pid else ""
    except (OSError, ValueError, errors.HypervisorError):
        return 0  # at worst it gets usual pages
    return mebibytes if memory_backing.HUGE in command else 0


def _tell_of_links(name: str, nics: Sequence[objects.NIC]) -> None:
    for nic in nics:
        if problem := nic_mtu.too_small_link(nic):
            logging.warning("%s: %s", name, problem)
