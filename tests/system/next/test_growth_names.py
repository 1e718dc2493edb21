"""Growth by the names that Ganeti and upstream's prototype call, on real QEMU; and by the agent."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import backend, constants, errors, rpc_defs

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.hotplug import vcpus
from harness import guest, guest_agent, instance, migrants, paths
from harness.console import SerialConsole

NAME = "grow2.example.com"
MIB = 1 << 20
ADD, MODIFY = constants.HOTPLUG_ACTION_ADD, constants.HOTPLUG_ACTION_MODIFY
VCPU, MEMORY = constants.HOTPLUG_TARGET_VCPU, constants.HOTPLUG_TARGET_MEMORY
EACH_QEMU = pytest.mark.parametrize(
    "binary",
    [pytest.param(str(paths.QEMU), marks=pytest.mark.long), str(paths.QEMU_10)],
    ids=["7.2", "10.0"],
)


def count(hypervisor: Any) -> int:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return len(qmp.execute_qmp("query-cpus-fast"))


@EACH_QEMU
def test_names_of_the_prototype(hypervisor: Any, binary: str) -> None:
    wanted = instance.instance(
        NAME, memory=256, vcpus=2, kvm_path=binary, memory_hotplug_method="virtio-mem"
    )
    hypervisor.StartInstance(wanted, [], True)
    hypervisor.HotplugvCPUsSupported(wanted)
    hypervisor.HotplugvCPUsSupported(wanted, 32)
    with pytest.raises(errors.HotplugError, match="room for 32 vCPUs, 33 are wanted"):
        hypervisor.HotplugvCPUsSupported(wanted, 33)
    assert hypervisor.GetCurrentvCPUs(wanted) == 2
    free = hypervisor.GetHotpluggablevCPUs(wanted)
    assert len(free) == 30
    assert hypervisor.GetHotpluggedvCPUs(wanted) == []

    hypervisor.HotAddvCPUs(wanted, 2)
    assert count(hypervisor) == hypervisor.GetCurrentvCPUs(wanted) == 4
    added = hypervisor.GetHotpluggedvCPUs(wanted)
    assert [one["props"] for one in added] == [one["props"] for one in free[:2]]
    assert hypervisor.GetHotpluggablevCPUs(wanted) == free[2:]

    assert hypervisor.GetCurrentMemory(wanted) == 256 * MIB
    assert hypervisor.GetMaxMemory(wanted) == (256 + 65536) * MIB
    for take in (hypervisor.HotRemovevCPUs, hypervisor.HotRemoveMemory):
        with pytest.raises(errors.HotplugError, match="nothing is taken"):
            take(wanted, 1)
    assert count(hypervisor) == 4


def test_a_guest_without_room_has_the_memory_of_its_start(hypervisor: Any) -> None:
    wanted = instance.instance(NAME)
    hypervisor.StartInstance(wanted, [], True)
    assert hypervisor.GetMaxMemory(wanted) == hypervisor.GetCurrentMemory(wanted) == 128 * MIB


@pytest.mark.parametrize("action", [ADD, pytest.param(MODIFY, marks=pytest.mark.long)])
def test_as_the_node_daemon_calls_it(
    hypervisor: Any, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Ganeti's own dispatch: it looks whether that is possible, and hands over what came."""
    monkeypatch.setattr(backend.hypervisor, "GetHypervisor", lambda _: hypervisor)
    wanted = instance.instance(NAME)
    hypervisor.StartInstance(wanted, [], True)
    wanted.beparams["vcpus"] = 2
    # what cmdlib hands over as the device is not settled: a number, or the instance's beparams say
    for device, expected in ((None, 2), (3, 3)):
        backend.HotplugDevice(wanted, action, VCPU, device, None, 0)
        assert count(hypervisor) == expected
    refusals = (
        (constants.HOTPLUG_ACTION_REMOVE, VCPU, 1, "no vcpu is taken"),
        (action, MEMORY, 256, "without a device for more memory"),
    )
    for what, target, device, why in refusals:
        with pytest.raises(backend.RPCFail, match=f"Hotplug is not supported: .*{why}"):
            backend.HotplugDevice(wanted, what, target, device, None, 0)
    # beyond the room: the job has it for a warning, and the guest is as it was
    with pytest.raises(errors.HotplugError, match="room for 16 vCPUs, 17 are wanted"):
        backend.HotplugDevice(wanted, action, VCPU, 17, None, 0)
    assert count(hypervisor) == 3
    backend.HotplugSupported(wanted)


def test_the_call_carries_what_cmdlib_hands_over() -> None:
    """The arguments of the call are those that are used above."""
    (call,) = [
        one for one in rpc_defs.CALLS["RpcClientDefault"].values() if one[0] == "hotplug_device"
    ]
    names = [argument[0] for argument in call[4]]
    assert names == ["instance", "action", "dev_type", "device", "extra", "seq"]


def test_no_agent(hypervisor: Any) -> None:
    wanted = instance.instance(NAME)
    hypervisor.StartInstance(wanted, [], True)
    with pytest.raises(
        errors.HotplugError, match=r"without a guest agent \(use_guest_agent\).*udev"
    ):
        hypervisor.EnablevCPUs(wanted)


def test_an_agent_that_does_not_run(hypervisor: Any) -> None:
    """QEMU takes what is said to it, and nobody in the guest answers."""
    wanted = instance.instance(NAME, use_guest_agent=True)
    hypervisor.StartInstance(wanted, [], True)
    with pytest.raises(
        errors.HypervisorError, match=r"socket of the guest agent: .*(no answer|time)"
    ):
        vcpus.bring_online(hypervisor._Guest(wanted), patience=0.5)
    assert count(hypervisor) == 1


@pytest.mark.long
@EACH_QEMU
def test_the_guests_agent_brings_its_vcpus_online(hypervisor: Any, binary: str) -> None:
    wanted = instance.instance(
        NAME,
        memory=256,
        kvm_path=binary,
        use_guest_agent=True,
        initrd_path=str(guest_agent.initramfs()),
    )
    hypervisor.StartInstance(wanted, [], False)

    def sees(serial: SerialConsole) -> int:
        found = guest.STATUS_LINE.search(serial.wait_for(guest.STATUS_LINE.search, 120))
        assert found
        return int(found["cpus"])

    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        assert sees(serial) == 1
        serial.send(guest_agent.START)
        serial.wait_for(lambda line: guest_agent.STARTED in line, 60)
        hypervisor.EnablevCPUs(wanted)  # nothing to do
        hypervisor.HotModvCPUs(wanted, 3)
        hypervisor.EnablevCPUs(wanted)
        migrants.wait_until(lambda: sees(serial) == 3, 120, "three vCPUs online")
