"""The guest's network cards, and where an incoming migration arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti import constants, errors, netutils

from ganeti_hv_kvm.hv_kvm.devices import device_string
from ganeti_hv_kvm.hv_kvm.qemu_binary import QemuFacts

from .boot import boot_index, boots_from
from .option import Part, properties, vcpus_of
from .request import AttachedNic, Completion

Features = dict[str, Any]

#: The limit of "auto", where Ganeti has it.
MOST_QUEUES_BY_ITSELF: int = getattr(constants, "MAX_VIRTIO_NET_QUEUES_AUTO", 8)


def _need(available: bool, parameter: str, facts: QemuFacts) -> None:
    if not available:
        raise errors.HypervisorError(
            f"{parameter} is set, but {facts.path} cannot do it according to its --help"
        )


def _queues(hvp: Mapping[str, Any], vcpus: int) -> int:
    """How many queues a paravirtual NIC has.

    The development version knows "auto", a queue for each vCPU up to a limit. It must come to the
    same number on both ends of a migration, so it follows from the guest's command line.
    """
    wanted = hvp.get(constants.HV_VIRTIO_NET_QUEUES, 1)
    return min(vcpus, MOST_QUEUES_BY_ITSELF) if wanted == "auto" else int(wanted)


def device_features(
    hvp: Mapping[str, Any], facts: QemuFacts, vcpus: int = 1
) -> tuple[Features, str, str]:
    """What a TAP device has to offer for the configured NIC model, on a guest of ``vcpus``.

    Returns the features as OpenTap takes them (driver, vhost, vnet_hdr, mq), then what they add to
    -netdev and to -device. Raises HypervisorError if QEMU cannot do what is configured.
    """
    model = hvp[constants.HV_NIC_TYPE]
    features: Features = {"vhost": False, "vnet_hdr": False, "mq": (False, 1), "driver": model}
    if model != constants.HT_NIC_PARAVIRTUAL:
        return features, "", ""

    features["driver"] = "virtio"
    if facts.has_device("virtio-net-pci"):
        features |= {"driver": "virtio-net-pci", "vnet_hdr": hvp[constants.HV_VNET_HDR]}
    if not hvp[constants.HV_VHOST_NET]:
        return features, "", ""

    _need(facts.has_vhost, constants.HV_VHOST_NET, facts)
    features["vhost"] = True
    queues = _queues(hvp, vcpus)
    if queues <= 1:
        return features, ",vhost=on", ""

    _need(facts.has_multiqueue, constants.HV_VIRTIO_NET_QUEUES, facts)
    features["mq"] = (True, queues)
    # One interrupt vector each for a queue's two directions, one for control, one for changes.
    return features, ",vhost=on", f",mq=on,vectors={2 * queues + 2}"


def _fds(key: str, fds: Sequence[int]) -> str | None:
    """``fd=3`` or, for more than one, ``fds=3:4``."""
    if not fds:
        return None
    return f"{key}{'s' if len(fds) > 1 else ''}={':'.join(map(str, fds))}"


def _netdev(
    attached: AttachedNic, seq: int, model: str, extras: tuple[str, str], index: Part
) -> list[str]:
    nic = attached.nic
    placed = bool(nic.hvinfo) and "id" in nic.hvinfo
    backend = nic.hvinfo["id"] if placed else f"netdev{seq}"
    device = device_string(nic.hvinfo) if placed else model
    tap_extra, nic_extra = extras
    tap = properties(
        "type=tap",
        ("id", backend),
        _fds("fd", attached.tap_fds) or "fd=",
        _fds("vhostfd", attached.vhost_fds),
    )
    card = properties(device, ("netdev", backend), ("mac", nic.mac), index)
    return ["-netdev", tap + tap_extra, "-device", card + nic_extra]


def _net(attached: AttachedNic, seq: int, model: str) -> list[str]:
    """For QEMU before 0.12, which joined cards and backends by "vlan" numbers."""
    vlan = ("vlan", seq)
    tap = properties("tap", vlan, _fds("fd", attached.tap_fds) or "fd=")
    card = properties("nic", vlan, ("macaddr", attached.nic.mac), ("model", model))
    return ["-net", tap, "-net", card]


def cards(completion: Completion, command: Sequence[str]) -> list[str]:
    """The network cards on their TAP devices, or none at all."""
    if not completion.nics:
        return ["-net", "none"]
    vcpus = vcpus_of(command)
    features, *extras = device_features(completion.hvp, completion.facts, vcpus)
    model = features["driver"]
    with_netdev = completion.facts.has_switch("-netdev")
    boots = boots_from(completion.hvp, constants.HT_BO_NETWORK)
    arguments: list[str] = []
    for seq, attached in enumerate(completion.nics):
        if with_netdev:
            index = boot_index(completion.dialect, boots, seq + 1)
            arguments += _netdev(attached, seq, model, (extras[0], extras[1]), index)
        else:
            arguments += _net(attached, seq, model)
    return arguments


def incoming(completion: Completion, _command: Sequence[str]) -> list[str]:
    """-incoming: wait for a migration instead of starting the guest."""
    if not completion.incoming:
        return []
    address, port = completion.incoming
    # Without brackets QEMU takes what follows the first colon of the address for the port.
    host = f"[{address}]" if netutils.IP6Address.IsValid(address) else address
    return ["-incoming", f"tcp:{host}:{port}"]
