"""The guest's network cards, and where an incoming migration arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.hv_kvm.devices.description import Backend, Features
from ganeti_hv_kvm.hv_kvm.ganeti import hvparams
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from .boot import boot_index, boots_from
from .option import in_brackets, properties, vcpus_of
from .request import AttachedNic, Completion

#: In place of address and port of a migration: QEMU is told where to listen when it is ready.
DEFERRED = ("", 0)

#: The limit of "auto", where Ganeti has it.
MOST_QUEUES_BY_ITSELF: int = getattr(constants, "MAX_VIRTIO_NET_QUEUES_AUTO", 8)


def _need(available: bool, parameter: str, facts: QemuFacts) -> None:
    if not available:
        raise errors.HypervisorError(
            f"{parameter} is set, but {facts.path} cannot do it according to its --help"
        )


def _queues(hvp: Mapping[str, object], vcpus: int) -> int:
    """How many queues a paravirtual NIC has.

    The development version knows "auto", a queue for each vCPU up to a limit. It must come to the
    same number on both ends of a migration, so it follows from the guest's command line.
    """
    name = constants.HV_VIRTIO_NET_QUEUES
    if name not in hvp:
        return 1
    return min(vcpus, MOST_QUEUES_BY_ITSELF) if hvp[name] == "auto" else hvparams.number(hvp, name)


def tap_features(hvp: Mapping[str, object], facts: QemuFacts, vcpus: int = 1) -> Features:
    """What a TAP device has to offer for the configured NIC model, on a guest of ``vcpus``.

    Returns driver, vhost, vnet_hdr, mq, as OpenTap takes them. Raises HypervisorError if QEMU
    cannot do what is configured.
    """
    model = hvparams.text(hvp, constants.HV_NIC_TYPE)
    features: Features = {"vhost": False, "vnet_hdr": False, "mq": (False, 1), "driver": model}
    if model != constants.HT_NIC_PARAVIRTUAL:
        return features

    features["driver"] = "virtio"
    if facts.has_device("virtio-net-pci"):
        features["driver"] = "virtio-net-pci"
        features["vnet_hdr"] = bool(hvp[constants.HV_VNET_HDR])
    if not hvp[constants.HV_VHOST_NET]:
        return features

    _need(facts.has_vhost, constants.HV_VHOST_NET, facts)
    features["vhost"] = True
    queues = _queues(hvp, vcpus)
    if queues > 1:
        _need(facts.has_multiqueue, constants.HV_VIRTIO_NET_QUEUES, facts)
        features["mq"] = (True, queues)
    return features


def device_features(
    hvp: Mapping[str, object], facts: QemuFacts, vcpus: int = 1
) -> tuple[Features, str, str]:
    """The same as Ganeti's method has it: then what they add to -netdev and to -device."""
    features = tap_features(hvp, facts, vcpus)
    added = (description.vhost_properties(features), description.queue_properties(features))
    tap, nic = (
        "".join(f",{Backend({key: one[key]}).as_argument()}" for key in one) for one in added
    )
    return features, tap, nic


def _netdev(
    attached: AttachedNic, seq: int, features: Features, boot_index: int | None
) -> list[str]:
    hvinfo = attached.nic.hvinfo
    if not (hvinfo and "id" in hvinfo):
        hvinfo = {"driver": features["driver"]}
    backend = str(hvinfo.get("id", f"netdev{seq}"))
    tap = description.netdev(backend, attached.tap_fds or [""], attached.vhost_fds, features)
    card = description.nic(hvinfo, backend, attached.nic.mac, features, boot_index=boot_index)
    return ["-netdev", tap.as_argument(), "-device", card.as_argument()]


def _net(attached: AttachedNic, seq: int, model: str) -> list[str]:
    """For QEMU before 0.12, which joined cards and backends by "vlan" numbers."""
    vlan = ("vlan", seq)
    tap = properties("tap", vlan, ("fd", ":".join(map(str, attached.tap_fds))))
    card = properties("nic", vlan, ("macaddr", attached.nic.mac), ("model", model))
    return ["-net", tap, "-net", card]


def cards(completion: Completion, command: Sequence[str]) -> list[str]:
    """The network cards on their TAP devices, or none at all."""
    if not completion.nics:
        return ["-net", "none"]
    vcpus = vcpus_of(command)
    features = tap_features(completion.hvp, completion.facts, vcpus)
    with_netdev = completion.facts.has_switch("-netdev")
    boots = boots_from(completion.hvp, constants.HT_BO_NETWORK)
    arguments: list[str] = []
    for seq, attached in enumerate(completion.nics):
        if with_netdev:
            index = boot_index(completion.dialect, boots, seq + 1)
            arguments += _netdev(attached, seq, features, index)
        else:
            arguments += _net(attached, seq, features["driver"])
    return arguments


def incoming(completion: Completion, _command: Sequence[str]) -> list[str]:
    """-incoming: wait for a migration instead of starting the guest."""
    if not completion.incoming:
        return []
    if completion.incoming == DEFERRED:
        return ["-incoming", "defer"]
    address, port = completion.incoming
    return ["-incoming", f"tcp:{in_brackets(address)}:{port}"]
