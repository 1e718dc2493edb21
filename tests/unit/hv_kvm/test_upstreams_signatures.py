"""Names of upstream's newest code, and of its prototypes, have the signatures of their callers."""

from __future__ import annotations

import inspect
from operator import attrgetter
from unittest import mock

import pytest
from ganeti import errors, objects

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm import KVMHypervisor

NAME = "inst1.example.com"


@pytest.fixture
def hypervisor():
    with mock.patch("ganeti.utils.EnsureDirs"):
        yield KVMHypervisor()


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("_CdromOption", "(kvm_cmd, cdrom_disk_type, cdrom_image, cdrom_boot, cdrom_id,"
         " chipset=None, cdrom_index=0)"),
        ("_SoundhwOption", "(kvm_cmd, model, spice_bind, chipset, kvmhelp)"),
        ("_CalcVirtioDiskIothreads", "(up_hvp, vcpus)"),
        ("_CheckDeviceFeature", "(kvm_path, option, regex)"),
        ("_GenerateKVMBlockDevicesOptions", "(up_hvp, kvm_disks, kvmhelp, devlist)"),
        ("_RunKVMCmd", "(name, kvm_cmd, tap_fds=None)"),
        ("_InstanceMigrationState", "(instance_name)"),
        ("_ReadMigrationState", "(instance_name)"),
        ("_WriteMigrationState", "(instance_name, state)"),
        ("_MaybeBumpMigrationDowntime", "(instance, status, query_migrate)"),
        ("_MaybeCancelStuckMigration", "(instance, status)"),
        ("GetInstanceInfo", "(instance_name, hvparams=None)"),
        ("GetAllInstancesInfo", "(hvparams=None)"),
        ("_InstancePidAlive", "(instance_name)"),
        ("_InstancePidInfo", "(pid)"),
        ("_InstanceQmpMonitor", "(instance_name)"),
        ("_FirmwareDmName", "(instance_name, region)"),
        ("_FirmwareDmPath", "(instance_name, region)"),
        ("_FindFirmwareDisk", "(block_devices)"),
        ("_FirmwareRegionBase", "(disk, link)"),
        ("_ExposeFirmwareRegion", "(instance_name, region, base, offset, size, ro)"),
        ("_SetupFirmwareDisk", "(instance, kvm_disks)"),
        ("_CleanupFirmwareDisk", "(instance_name)"),
        ("VerifyHotplugSupport", "(instance, action, dev_type)"),
        ("HotAddDevice", "(instance, dev_type, device, extra, seq)"),
        ("HotAddMemory", "(instance, amount)"),
        ("HotModMemory", "(instance, amount)"),
        ("HotRemoveMemory", "(instance, amount)"),
        ("GetCurrentMemory", "(instance)"),
        ("GetMaxMemory", "(instance)"),
        ("VerifyMemoryHotplugSupport", "(instance, amount)"),
        ("HotModvCPUs", "(instance, amount)"),
        ("HotAddvCPUs", "(instance, amount)"),
        ("HotRemovevCPUs", "(instance, amount)"),
        ("VerifyvCPUHotplugSupport", "(instance, amount)"),
        ("HotplugvCPUsSupported", "(instance, amount=None)"),
        ("GetCurrentvCPUs", "(instance)"),
        ("GetHotpluggablevCPUs", "(instance)"),
        ("GetHotpluggedvCPUs", "(instance)"),
        ("EnablevCPUs", "(instance)"),
    ],
)  # fmt: skip
def test_signatures(hypervisor, name, signature):
    assert plain_signature(getattr(hypervisor, name)) == signature


def plain_signature(function):
    found = inspect.signature(function).parameters.values()
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in found]
    return str(inspect.Signature(plain))


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("firmware.ComputeLayout", "(code_size, vars_size)"),
        ("firmware.RequiredDiskSize", "(layout)"),
        ("firmware.PackSuperblock", "(layout)"),
        ("firmware.UnpackSuperblock", "(data)"),
        ("validation.uses_ovmf", "(boot_type)"),
        ("validation.uses_direct_kernel", "(boot_type)"),
        ("QmpConnection.HotAddvCPU", "(self, cpu)"),
        ("QmpConnection.HotDelvCPU", "(self, cpu_id)"),
        ("QmpConnection.GetHotpluggableCPUs", "(self)"),
        ("QmpConnection.SetMigrationDowntime", "(self, downtime_limit)"),
        ("QmpConnection.CancelMigration", "(self)"),
        ("types.QMPVCPUItem", "(cpu_id, driver, socket_id, core_id, thread_id)"),
    ],
)
def test_signatures_in_the_package(name, signature):
    assert plain_signature(attrgetter(name)(hv_kvm)) == signature


def test_constants_in_the_package():
    assert hv_kvm.KVM_VIRTIO_MEM_MAX_SIZE == 65536
    assert hv_kvm.firmware.MAGIC == b"GNTOVMF\0"
    parts = attrgetter("VERSION", "SECTOR_SIZE", "ALIGNMENT", "REGION_CODE", "REGION_VARS")
    assert parts(hv_kvm.firmware) == (1, 512, 1 << 20, "code", "vars")


# vCPUs

PLACE = {
    "props": {"socket-id": 0, "core-id": 2, "thread-id": 0},
    "vcpus-count": 1,
    "type": "qemu64-x86_64-cpu",
}
DEVICE = {
    "id": "cpu-0-2-0", "driver": "qemu64-x86_64-cpu", "socket-id": 0, "core-id": 2, "thread-id": 0,
}  # fmt: skip


def test_a_vcpu_by_the_name_of_the_prototype():
    item = hv_kvm.types.QMPVCPUItem.from_qmp_vcpu(PLACE)
    assert item == hv_kvm.types.QMPVCPUItem("cpu-0-2-0", "qemu64-x86_64-cpu", 0, 2, 0)
    assert item.to_qmp_vcpu() == DEVICE
    assert hv_kvm.types.QMPVCPUItem.from_dict(item.to_dict()) == item
    in_dies = {**PLACE, "props": {**PLACE["props"], "die-id": 0}}
    for place in (in_dies, {**PLACE, "props": {"core-id": 1}}):
        with pytest.raises(errors.HypervisorError, match="has the levels"):
            hv_kvm.types.QMPVCPUItem.from_qmp_vcpu(place)
    with pytest.raises(errors.HypervisorError, match="cannot be"):
        hv_kvm.types.QMPVCPUItem.from_qmp_vcpu({"type": "x"})


@pytest.mark.parametrize("cpu", [PLACE, hv_kvm.types.QMPVCPUItem.from_qmp_vcpu(PLACE)])
def test_it_is_added_as_qemu_tells_of_it_or_as_an_item(cpu):
    connection = hv_kvm.QmpConnection
    with (
        mock.patch.object(connection, "_open"),
        mock.patch.object(connection, "execute_qmp") as give,
    ):
        connection("/nonexistent").HotAddvCPU(cpu)
    give.assert_called_once_with("device_add", DEVICE)


@pytest.mark.parametrize("name", ["HotRemovevCPUs", "HotRemoveMemory"])
def test_nothing_is_taken_from_a_guest_that_runs(hypervisor, name):
    with pytest.raises(errors.HotplugError, match=f"{NAME}.*nothing is taken.*next started"):
        getattr(hypervisor, name)(objects.Instance(name=NAME), 1)
