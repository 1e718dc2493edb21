"""Each command whose reply is read, answered in another form: the peer is said to be at fault.

Fault: a KeyError or TypeError, which Ganeti does not wait for; an error that blamed the runtime
file; a text of any length in a log, with QEMU's own line breaks.
"""

from __future__ import annotations

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT
from ganeti_hv_kvm.hv_kvm.hotplug.device import DISK, NIC
from ganeti_hv_kvm.hv_kvm.lifecycle import balloon, options_report
from ganeti_hv_kvm.hv_kvm.qemu.verbs import disks
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance, nic

_LONG = "a\n" * 50_000
ODD = {
    "null": None,
    "a number": -1,
    "a text": _LONG,
    "no members": {},
    "odd members": {"actual": 10**400, "fdset-id": "x", "base-memory": 10**400, "status": _LONG},
    "a list of null": [None],
    "a list of nothing": [{}],
    "a list of texts": [_LONG],
    "odd names": [{"name": 1, "type": 2, "device": 3, "id": 4, "node-name": 5, "capability": 6}],
    "odd numbers": [{"cpu-index": True, "thread-id": 10**30, "devices": [{"slot": -1}]}],
    "odd disks": [{"device": "", "qdev": "x", "inserted": {"iops": 10**400}}, {"devices": 5}],
    "odd bridges": [{"devices": [{"slot": 1, "pci_bridge": {"devices": [{"slot": 2}]}}]}],
}


def image(node):
    path = f"{node.files.directories.conf}/disk.img"
    with open(path, "wb") as file:
        file.write(bytes(4096))
    disk, link, uri = samples.disk(template=constants.DT_FILE, seq=5, link=path)
    disk.hvinfo = {}
    return disk, (link, uri)


def _pin(node, made):
    hv_kvm.KVMHypervisor._ExecuteCpuAffinity(node.hypervisor, made, "0:0")


def _first_disk(node):
    return node.stored().kvm_disks[0][0]


#: Operation -> the commands whose replies it reads, and how it is asked for.
OPERATIONS = {
    "add a disk": (
        ["qom-list", "query-pci", "query-iothreads", "add-fd"]
        + ([] if DIALECT.blockdev else ["human-monitor-command"]),
        lambda node, made: node.hypervisor.HotAddDevice(made, DISK, *image(node), 1),
    ),
    "add a NIC": (
        ["qom-list", "query-pci"],
        lambda node, made: node.hypervisor.HotAddDevice(made, NIC, nic(5), None, 1),
    ),
    "remove a disk": (
        ["qom-list", "query-block", "query-named-block-nodes", "query-fdsets"],
        lambda node, made: node.hypervisor.HotDelDevice(made, DISK, _first_disk(node), None, 0),
    ),
    "resize a disk": (
        ["query-block", "query-named-block-nodes"],
        lambda node, made: node.hypervisor.ResizeDisk(made, _first_disk(node), 1 << 30),
    ),
    "verify": (
        ["query-commands"],
        lambda node, made: node.hypervisor.VerifyHotplugSupport(
            made, constants.HOTPLUG_ACTION_ADD, DISK
        ),
    ),
    "balloon": (
        ["query-balloon", "query-status"],
        lambda node, made: balloon.balloon(node.guest(made), 600, patience=0.0),
    ),
    "tell for a migration": (
        ["qom-list", "qom-get", "query-pci", "query-migrate", "query-status"],
        lambda node, made: node.hypervisor.MigrationInfo(made),
    ),
    "migrate": (
        ["qom-list", "query-migrate", "query-status", "query-migrate-capabilities"],
        lambda node, made: node.hypervisor.MigrateInstance("c", made, "192.0.2.2", True),
    ),
    "abort": (
        ["qom-list", "query-migrate", "query-status", "query-migrate-capabilities"],
        lambda node, made: node.hypervisor.FinalizeMigrationSource(made, False, True),
    ),
    "pin": (["query-cpus-fast"], _pin),
    "count vCPUs": (
        ["query-cpus-fast"],
        lambda node, made: node.hypervisor.GetCurrentvCPUs(made),
    ),
    "places for vCPUs": (
        ["query-hotpluggable-cpus"],
        lambda node, made: node.hypervisor.GetHotpluggablevCPUs(made),
    ),
    "tell its memory": (
        ["query-memory-size-summary"],
        lambda node, made: node.hypervisor.GetCurrentMemory(made),
    ),
    "tell its options": (
        ["query-block", "query-iothreads", "query-memdev"],
        lambda node, made: options_report.of(node.guest(made)),
    ),
}
CASES = [
    pytest.param(ask, command, id=f"{operation}, {command}")
    for operation, (commands, ask) in OPERATIONS.items()
    for command in commands
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("ask", "command"), CASES)
def test_a_reply_of_another_form(node, monkeypatch, caplog, ask, command, odd):
    monkeypatch.setenv("GANETI_HV_KVM_MIGRATION_CHANNELS", "2")
    monkeypatch.setattr(disks, "_BACKEND_GRACE", 0.05)
    made = instance(nics=1)
    node.running(made, [samples.disk()])
    node.qemu.answers[command] = ODD[odd]
    said = []
    try:
        ask(node, made)
    except errors.HypervisorError as err:
        said = [str(err)]
    said += [record.getMessage() for record in caplog.records]
    # a text that is long is not shown whole by a test that fails, either
    assert [text[:200] for text in said if len(text) > 1500 or "\n" in text] == []
    assert not any("probably in" in text for text in said)


def test_the_command_is_named(node):
    made = instance(nics=1)
    node.running(made, [samples.disk()])
    node.qemu.answers["query-pci"] = [{"devices": [{"slot": "first"}]}]
    with pytest.raises(
        errors.HotplugError, match="QEMU's answer to query-pci has another form: first"
    ):
        node.hypervisor.HotAddDevice(made, NIC, nic(5), None, 1)
