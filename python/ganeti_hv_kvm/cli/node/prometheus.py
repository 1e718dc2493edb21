"""Prometheus' text format, version 0.0.4; names are libvirt_exporter's with a prefix of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.condition import Rank
from ganeti_hv_kvm.cli.node.figures import DISK_COUNTERS, NIC_COUNTERS, Figures

PREFIX = "ganeti_kvm_"
_MIB = 1 << 20


class Metric(NamedTuple):
    """A family of samples: "gauge" or "counter"."""

    name: str
    kind: str
    meaning: str
    samples: list[tuple[Mapping[str, str], float]]


def metrics(
    guests: Iterable[Figures], since: Mapping[str, float], version: str, seconds: float
) -> list[Metric]:
    """Make metrics of what was read of guests.

    Args:
        since: how long each guest is seen to be as it is.
        version: of ganeti-hv-kvm.
        seconds: that the look took.
    """
    kept = list(guests)
    found = [
        Metric("up", "gauge", "Whether this node's guests could be looked at.", [({}, 1.0)]),
        Metric("build_info", "gauge", "The version.", [({"version": version}, 1.0)]),
        Metric("domains", "gauge", "Guests on this node.", [({}, float(len(kept)))]),
        Metric("scrape_duration_seconds", "gauge", "How long the look took.", [({}, seconds)]),
    ]
    families = {
        name: Metric(f"domain_{name}", kind, meaning, []) for name, kind, meaning in _families()
    }
    for one in kept:
        for name, labels, value in _samples(one, since):
            families[name].samples.append((labels, value))
    return [*found, *(one for one in families.values() if one.samples)]


def _families() -> Iterator[tuple[str, str, str]]:
    yield "monitor", "gauge", "What became of the questions to the guest's monitor."
    yield "state", "gauge", "What the guest does, QEMU's word."
    yield "trouble", "gauge", "Whether the guest needs a person."
    yield "condition_seconds", "gauge", "How long it is seen to be so, at least."
    yield "uptime_seconds", "gauge", "How long its process has run."
    yield "info_virtual_cpus", "gauge", "CPUs of the guest."
    yield "info_memory_usage_bytes", "gauge", "Memory of the guest, by its balloon."
    yield "info_maximum_memory_bytes", "gauge", "Memory of the guest without a balloon."
    yield "info_cpu_time_seconds_total", "counter", "CPU time of its process."
    yield "memory_stats_rss_bytes", "gauge", "Memory of its process on this node."
    for name in DISK_COUNTERS:
        yield f"block_stats_{name}_total", "counter", f"Of a disk: {name.replace('_', ' ')}."
    for name in NIC_COUNTERS:
        yield f"interface_stats_{name}_total", "counter", f"Of a NIC: {name.replace('_', ' ')}."


_Sample = tuple[str, dict[str, str], float]


def _samples(one: Figures, since: Mapping[str, float]) -> Iterator[_Sample]:
    guest = one.condition
    domain = {"domain": guest.guest.name}
    yield "monitor", {**domain, "verdict": guest.monitor}, 1.0
    if guest.state is not None:
        yield "state", {**domain, "state": str(guest.values["state"])}, 1.0
    yield "trouble", domain, float(guest.rank is Rank.TROUBLE)
    if guest.guest.name in since:
        yield "condition_seconds", domain, since[guest.guest.name]
    for name, key, factor in (
        ("info_virtual_cpus", "vcpus", 1),
        ("info_memory_usage_bytes", "memory", _MIB),
        ("info_maximum_memory_bytes", "maximum", _MIB),
    ):
        value = guest.values[key]
        if isinstance(value, int):
            yield name, domain, float(value * factor)
    if one.usage is not None:
        yield "uptime_seconds", domain, one.usage.age
        yield "info_cpu_time_seconds_total", domain, one.usage.cpu
        yield "memory_stats_rss_bytes", domain, float(one.usage.resident)
    for disk in one.disks:
        labels = {**domain, "target_device": disk.name}
        for name, value in disk.counters.items():
            yield f"block_stats_{name}_total", labels, float(value)
    for nic in one.nics:
        labels = {**domain, "source_bridge": nic.bridge, "target_device": nic.name}
        for name, value in nic.counters.items():
            yield f"interface_stats_{name}_total", labels, float(value)


def text(metrics: Iterable[Metric]) -> str:
    """Write metrics."""
    lines = []
    for metric in metrics:
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}"]
        for labels, value in metric.samples:
            inner = ",".join(f'{label}="{escaped(one)}"' for label, one in labels.items())
            lines.append(name + (f"{{{inner}}}" if inner else "") + f" {_number(value)}")
    return "\n".join(lines) + "\n"


def escaped(value: str) -> str:
    """Give a label's value as the format wants it; what cannot be printed is written out."""
    return quoted(value).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
