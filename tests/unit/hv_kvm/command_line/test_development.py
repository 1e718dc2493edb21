"""What upstream's development version words otherwise than Ganeti 3.1."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.hv_kvm.ganeti.generation import BLOCKDEV, DEVELOPMENT, DRIVE

from . import samples


def difference(qemu="7.2", **hvparams):
    """Words of 3.1's command line that are gone, and words that are new."""
    commands = []
    for dialect in (BLOCKDEV, DEVELOPMENT):
        made = samples.instance(nics=2, **hvparams)
        disks = [samples.disk(seq=0), samples.disk(seq=1)]
        facts = samples.facts(qemu)
        commands.append(samples.whole(made, disks, dialect, facts=facts))
    before, after = commands
    gone = [word for word in before if word not in after]
    new = [word for word in after if word not in before]
    return gone, new


@pytest.mark.parametrize("qemu", ["7.2", "10.0"])
def test_threads_are_named(qemu):
    _, new = difference(qemu, kernel_path="/boot/vmlinuz", root_path="/dev/vda1")
    assert new == [f"{samples.NAME},debug-threads=on"]


def test_a_qemu_that_names_its_threads_itself_is_not_told_to():
    newer = samples.old_facts(samples.facts("10.0").help.replace("10.0", "11.0", 1))
    made = samples.instance()
    request = samples.start(made, facts=newer, dialect=DEVELOPMENT)
    assert samples.command_line.machine.name(request) == ["-name", samples.NAME]


@pytest.mark.parametrize("dialect", [DRIVE, BLOCKDEV])
def test_the_others_do_not_name_threads(dialect):
    request = samples.start(samples.instance(), dialect=dialect)
    assert samples.command_line.machine.name(request) == ["-name", samples.NAME]


@pytest.mark.parametrize(
    ("order", "parameters", "devices"),
    [
        ("disk", {}, [("virtio-blk-pci,id=disk-d0", 1)]),
        ("cdrom", {"cdrom_image_path": "/a.iso"}, [("virtio-blk-pci,drive=cdrom1", 1)]),
        ("network", {}, [("rtl8139,id=nic-00", 1), ("rtl8139,id=nic-01", 2)]),
    ],
)  # fmt: skip
def test_the_device_says_that_it_boots(order, parameters, devices):
    gone, new = difference(boot_order=order, nic_type="rtl8139", **parameters)
    assert "-boot" in gone
    indexed = [word for word in new if ",bootindex=" in word]
    assert len(indexed) == len(devices)
    for word, (start, index) in zip(sorted(indexed), devices, strict=True):
        assert word.startswith(start)
        assert word.endswith(f",bootindex={index}")


def test_a_floppy_boots_by_its_letter():
    gone, new = difference(boot_order="floppy", floppy_image_path="/a.img")
    assert gone == [samples.NAME]
    assert [word for word in new if "bootindex" in word] == []


@pytest.mark.parametrize(
    ("vcpus", "queues"), [("1", 1), ("4", 4), ("6,cores=3", 6), ("64,sockets=2", 8)]
)
def test_queues_by_the_number_of_vcpus(vcpus, queues):
    made = samples.instance(vhost_net=True, virtio_net_queues="auto", nic_type="paravirtual")
    count = samples.command_line.vcpus_of(["kvm", "-m", 128, "-smp", vcpus, "-name", "web"])
    features, tap, nic = samples.command_line.device_features(made.hvparams, samples.facts(), count)
    assert features["mq"] == (queues > 1, queues)
    assert tap == ",vhost=on"
    assert nic == ("" if queues == 1 else f",mq=on,vectors={2 * queues + 2}")


def test_a_command_that_does_not_tell_its_vcpus():
    assert samples.command_line.vcpus_of(["kvm", "-name", "-smp"]) == 1
