"""A device that was hot-plugged is, in every parameter, the one that a restart would make."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm import bus_manager, command_line, devices
from ganeti_hv_kvm.hv_kvm.command_line import network, storage
from ganeti_hv_kvm.hv_kvm.compat import BLOCKDEV
from ganeti_hv_kvm.hv_kvm.kvm_utils import GetCacheSettings, TranslateBoolToOnOff
from ganeti_hv_kvm.hv_kvm.monitor_devices import (
    disk_arguments,
    netdev_arguments,
    nic_arguments,
    tap_fd_names,
)
from unit.hv_kvm.command_line import samples

_DISK, _NIC = constants.HOTPLUG_TARGET_DISK, constants.HOTPLUG_TARGET_NIC


def on_the_command_line(arguments: list[str], option: str) -> dict[str, str]:
    """An option's properties; the first, without a name, is the driver."""
    words = dict(pairwise(arguments))[option].split(",")
    return dict(word.split("=") if "=" in word else ("driver", word) for word in words)


def as_text(arguments: dict[str, Any]) -> dict[str, str]:
    return {
        key: TranslateBoolToOnOff(value) if isinstance(value, bool) else str(value)
        for key, value in arguments.items()
    }


@pytest.mark.parametrize("cache", sorted(constants.HT_VALID_CACHE_TYPES))
@pytest.mark.parametrize("model", devices.HOTPLUGGABLE_DEVICE_TYPES[_DISK])
def test_disks(model: str, cache: str) -> None:
    made = samples.instance(disk_type=model, disk_cache=cache)
    disk, link, uri = samples.disk()
    bus_manager.place_all(made.hvparams, [disk], [])
    completion = samples.completion(made, disks=[(disk, link, uri)], dialect=BLOCKDEV)
    started = on_the_command_line(storage.disks(completion, ()), "-device")

    writeback, _, _ = GetCacheSettings(cache, disk.dev_type)
    assert as_text(disk_arguments(disk, disk.hvinfo["id"], writeback)) == started


@pytest.mark.parametrize("model", devices.HOTPLUGGABLE_DEVICE_TYPES[_NIC])
@pytest.mark.parametrize("queues", [1, 4])
@pytest.mark.parametrize("vhost", [False, True])
def test_nics(model: str, queues: int, vhost: bool) -> None:
    parameters = {"nic_type": model, "virtio_net_queues": queues, "vhost_net": vhost}
    made = samples.instance(nics=1, **parameters)
    (nic,) = made.nics
    bus_manager.place_all(made.hvparams, [], made.nics)
    features, _, _ = command_line.device_features(made.hvparams, samples.facts())
    _, count = features["mq"]
    taps = range(10, 10 + count)
    vhosts = range(20, 20 + count) if features["vhost"] else ()
    attached = command_line.AttachedNic(nic, taps, vhosts)
    arguments = network.cards(samples.completion(made, nics=[attached]), ())
    devid = nic.hvinfo["id"]

    assert as_text(nic_arguments(nic, devid, features, False)) == on_the_command_line(
        arguments, "-device"
    )
    named = netdev_arguments(devid, [str(fd) for fd in taps], [str(fd) for fd in vhosts], features)
    assert as_text(named) == on_the_command_line(arguments, "-netdev")


def test_numbers_and_truth_values_are_no_texts() -> None:
    """QEMU 9.2 and later refuse them otherwise."""
    nic = samples.instance(nics=1).nics[0]
    nic.hvinfo = {"driver": "virtio-net-pci", "id": "nic-1", "bus": "pci.0", "addr": "0xd"}
    features = {"mq": (True, 2), "vhost": True}

    card = nic_arguments(nic, "nic-1", features, is_chrooted=True)
    assert (card["mq"], card["vectors"], card["romfile"]) == (True, 6, "")
    assert netdev_arguments("nic-1", ["a", "b"], ["c", "d"], features) == {
        "type": "tap",
        "id": "nic-1",
        "fds": "a:b",
        "vhost": True,
        "vhostfds": "c:d",
    }
    assert tap_fd_names("nic-1", features) == [
        "nic-1-0",
        "nic-1-1",
        "nic-1-vhost-0",
        "nic-1-vhost-1",
    ]
