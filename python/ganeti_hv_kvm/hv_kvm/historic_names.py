"""Names of the original's class that Ganeti's tests and site code reach, each a delegation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganeti import constants, objects

from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.generation import bitarray
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text

from .command_line import (
    Completion,
    aio_cache,
    by_name,
    device_features,
    iothreads,
    storage,
    uefi,
)
from .devices import places
from .guest import files as instance_files
from .guest import process
from .host import firmware_disk, firmware_mappings, nic_scripts, remote_image, taps
from .lifecycle import console, cpu_pinning, launch, new_runtime, stop, user_shutdown
from .lifecycle.guest_access import GuestAccess
from .qemu import binary, facts
from .qemu.facts import QemuFacts, Version


class HistoricNames(GuestAccess):
    """Mixed into the hypervisor; what can fail raises ``errors.HypervisorError``."""

    _BOOT_RE = facts.BOOT_RE
    _KVMOPT_HELP = facts.KVMOPT_HELP
    _KVMOPT_MLIST = facts.KVMOPT_MLIST
    _KVMOPT_DEVICELIST = facts.KVMOPT_DEVICELIST
    _KVMOPT_DEVICEHELP_VIRTIO_BLK = facts.VIRTIO_BLK
    _KVMOPT_DEVICEHELP_VIRTIO_SCSI = facts.VIRTIO_SCSI
    _VIRTIO_BLK_IOTHREAD_VQ_MAPPING = _VIRTIO_SCSI_IOTHREAD_VQ_MAPPING = facts.QUEUE_MAPPING
    _KVMOPTS_CMDS = binary.KVMOPTS_CMDS

    @classmethod
    def _InstancePidFile(cls, instance_name: str) -> str:
        return cls._Files(instance_name).pidfile

    @classmethod
    def _InstanceUidFile(cls, instance_name: str) -> str:
        return cls._Files(instance_name).uidfile

    @classmethod
    def _InstanceMonitor(cls, instance_name: str) -> str:
        return cls._Files(instance_name).monitor

    @classmethod
    def _InstanceSerial(cls, instance_name: str) -> str:
        return cls._Files(instance_name).serial

    @classmethod
    def _InstanceQmpMonitor(cls, instance_name: str) -> str:
        return cls._Files(instance_name).qmp

    @classmethod
    def _InstanceQemuGuestAgentMonitor(cls, instance_name: str) -> str:
        return cls._Files(instance_name).qga

    @classmethod
    def _InstanceKvmdMonitor(cls, instance_name: str) -> str:
        return cls._Files(instance_name).kvmd

    @classmethod
    def _InstanceShutdownMonitor(cls, instance_name: str) -> str:
        return cls._Files(instance_name).shutdown

    @classmethod
    def _InstanceChrootDir(cls, instance_name: str) -> str:
        return cls._Files(instance_name).chroot

    @classmethod
    def _InstanceNICDir(cls, instance_name: str) -> str:
        return cls._Files(instance_name).nic_dir

    @classmethod
    def _InstanceNICFile(cls, instance_name: str, seq: int) -> str:
        return cls._Files(instance_name).nic_file(seq)

    @classmethod
    def _InstancePidInfo(cls, pid: int | str) -> tuple[str, int, int]:
        return process.info(int(pid))

    @classmethod
    def _TryReadUidFile(cls, uid_file: str) -> int | None:
        return instance_files.read_uid(uid_file)

    @classmethod
    def _RemoveInstanceRuntimeFiles(cls, pidfile: str, instance_name: str) -> None:
        instance_files.remove_all(cls._Files(instance_name))

    @classmethod
    def _IsUserShutdown(cls, instance_name: str) -> bool:
        return os.path.exists(cls._Files(instance_name).shutdown)

    @classmethod
    def _ClearUserShutdown(cls, instance_name: str) -> None:
        stop.clear_user_shutdown(cls._Files(instance_name))

    @classmethod
    def _FirmwareDmName(cls, instance_name: str, region: str) -> str:
        return uefi.mapping_name(instance_name, region)

    @classmethod
    def _FirmwareDmPath(cls, instance_name: str, region: str) -> str:
        return uefi.mapping_path(instance_name, region)

    @classmethod
    def _FindFirmwareDisk(cls, block_devices: Iterable[BlockDevice]) -> BlockDevice | None:
        return firmware_disk.find(block_devices)

    @classmethod
    def _FirmwareRegionBase(cls, disk: objects.Disk, link: str) -> str:
        return firmware_mappings.region_base(disk, link)

    @classmethod
    def _ExposeFirmwareRegion(  # noqa: PLR0917
        cls, instance_name: str, region: str, base: str, offset: int, size: int, ro: bool
    ) -> str:
        return firmware_mappings.expose_region(
            instance_name, region, base, (offset, size), read_only=ro
        )

    @classmethod
    def _SetupFirmwareDisk(
        cls, instance: objects.Instance, kvm_disks: Iterable[BlockDevice]
    ) -> None:
        """Map the regions as upstream's module does; guests of this module need no mapping."""
        firmware_mappings.set_up(instance.name, kvm_disks, instance.hvparams)

    @classmethod
    def _CleanupFirmwareDisk(cls, instance_name: str) -> None:
        firmware_mappings.clean_up(instance_name)

    @staticmethod
    def _SocatUnixConsoleParams() -> str:
        return console.socat_parameters()

    @staticmethod
    def _GenerateKvmTapName(nic: objects.NIC) -> str:
        return taps.tap_name(nic)

    @staticmethod
    def _GenerateDiskAioCacheParameters(disk_aio: str, disk_cache: str, dev_type: str) -> str:
        return aio_cache(disk_aio, disk_cache, dev_type)

    def _GetNetworkDeviceFeatures(
        self, up_hvp: Mapping[str, object], devlist: str, kvmhelp: str, vcpus: int = 1
    ) -> tuple[Features, str, str]:
        facts = QemuFacts.from_texts("kvm", help_text=kvmhelp, devices=devlist)
        return device_features(up_hvp, facts, vcpus)

    def _GetBusSlots(
        self, hvp: Mapping[str, object] | None = None, runtime: Sequence[Any] | None = None
    ) -> dict[str, bitarray]:
        return places.bus_slots(hvp, runtime)

    def _RunKVMCmd(
        self, name: str, kvm_cmd: Sequence[str], tap_fds: Sequence[int] | None = None
    ) -> None:
        launch.run(self._Guest(None, name), kvm_cmd, tap_fds or ())

    def _GenerateKVMBlockDevicesOptions(
        self,
        up_hvp: Mapping[str, object],
        kvm_disks: Sequence[BlockDevice],
        kvmhelp: str,
        devlist: str,
    ) -> list[str]:
        completion = Completion(
            instance=objects.Instance(name="an instance", hvparams=up_hvp),
            hvp=up_hvp,
            facts=QemuFacts.from_texts("kvm", help_text=kvmhelp, devices=devlist),
            paths=new_runtime.paths(self._Files("instance")),
            disks=kvm_disks,
        )
        return storage.disks(completion, [])

    @staticmethod
    def _CdromOption(  # noqa: PLR0917
        kvm_cmd: list[str],
        cdrom_disk_type: str,
        cdrom_image: str,
        cdrom_boot: object,
        cdrom_id: object,
        chipset: str | None = None,
        cdrom_index: int = 0,
    ) -> None:
        """Add a CD-ROM to a command; in 3.0 the fifth argument says that QEMU needs boot=on."""
        image = {constants.HV_CDROM_IMAGE_PATH: cdrom_image, constants.HV_KVM_CDROM2_IMAGE_PATH: ""}
        remote_image.check(image)
        kvm_cmd += by_name.cdrom(
            cdrom_disk_type, cdrom_image, cdrom_boot, cdrom_id, chipset=chipset, number=cdrom_index
        )

    @staticmethod
    def _SoundhwOption(
        kvm_cmd: list[str], model: str, spice_bind: str | None, chipset: str | None, kvmhelp: str
    ) -> None:
        has_switch = QemuFacts.from_texts("kvm", help_text=kvmhelp).has_switch("-soundhw")
        kvm_cmd += by_name.sound(model, spice_bind, chipset, has_switch)

    @classmethod
    def _CheckDeviceFeature(cls, kvm_path: str, option: str, regex: str | re.Pattern[str]) -> bool:
        """Tell whether QEMU's answer to a question of ``_KVMOPTS_CMDS`` matches."""
        return re.search(regex, binary.known_output(kvm_path, option)) is not None

    def _CalcVirtioDiskIothreads(self, up_hvp: Mapping[str, object], vcpus: int) -> int:
        def can_map(driver: str) -> bool:
            path = text(up_hvp, constants.HV_KVM_PATH)
            return bool(self._CheckDeviceFeature(path, driver, facts.QUEUE_MAPPING))

        return iothreads.count_by(up_hvp, can_map, vcpus)

    @classmethod
    def _ParseKVMVersion(cls, text: str) -> Version:
        return facts.parse_version(text)

    @classmethod
    def _GetKVMOutput(cls, kvm_path: str, option: str) -> str:
        return binary.get_output(kvm_path, option)

    @classmethod
    def _GetKVMVersion(cls, kvm_path: str) -> Version:
        return binary.get_version(kvm_path)

    @classmethod
    def _GetDefaultMachineVersion(cls, kvm_path: str) -> str:
        return binary.get_default_machine(kvm_path)

    @staticmethod
    def _StartKvmd(hvparams: Mapping[str, object]) -> None:
        if hvparams[constants.HV_KVM_USER_SHUTDOWN]:
            user_shutdown.ensure_daemon()

    @staticmethod
    def _DeConfigureNIC(instance: objects.Instance, seq: int, nic: objects.NIC, tap: str) -> None:
        nic_scripts.undo(instance, seq, nic, tap)

    def _DeConfigureAllNICs(self, instance: objects.Instance) -> None:
        nic_scripts.undo_all(self._Files(instance.name))

    @classmethod
    def _SetProcessAffinity(cls, process_id: int, cpus: Iterable[int]) -> None:
        unpinned = cpus == constants.CPU_PINNING_OFF
        cpu_pinning.pin(process_id, cpu_pinning.online_cpus() if unpinned else cpus)

    @classmethod
    def _AssignCpuAffinity(
        cls, cpu_mask: str, process_id: int, thread_dict: Mapping[int, int]
    ) -> None:
        masks = cpu_pinning.parse(cpu_mask, len(thread_dict))
        if masks:
            cpu_pinning.apply(masks, process_id, thread_dict)

    def _GetVcpuThreadIds(self, instance: objects.Instance) -> dict[int, int]:
        """Thread id by vCPU number. 3.0 gives the instance's name here, 3.1 the instance."""
        name = instance.name if isinstance(instance, objects.Instance) else str(instance)
        return cpu_pinning.vcpu_threads(self._Guest(None, name))
