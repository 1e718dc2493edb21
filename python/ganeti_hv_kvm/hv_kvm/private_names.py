"""Names of the original's class that Ganeti's tests and site code reach, each a delegation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ganeti import pathutils

from . import console, devices, instance_files, instance_process, nics, qemu_binary, shutdown
from .command_line import aio_cache, device_features
from .instance_files import Directories, InstanceFiles
from .launch_names import LaunchNames
from .qemu_binary import QemuFacts, Version
from .shutdown import PidAlive

_ROOT: str = pathutils.RUN_DIR + "/kvm-hypervisor"
_FOLDERS: list[str] = [
    f"{_ROOT}/{folder}"
    for folder in ("pid", "uid", "ctrl", "conf", "nic", "chroot", "chroot-quarantine")
]


class PrivateNames(LaunchNames):
    """Where the files of an instance lie, what its process is, what QEMU says of itself.

    The directories are looked up on the class at each call: tests move them elsewhere.
    """

    _ROOT_DIR = _ROOT
    _PIDS_DIR, _UIDS_DIR, _CTRL_DIR, _CONF_DIR, _NICS_DIR, _CHROOT_DIR, _CHROOT_QUARANTINE_DIR = (
        _FOLDERS
    )
    _DIRS: ClassVar = [_ROOT, *_FOLDERS]

    _BOOT_RE = qemu_binary.BOOT_RE
    _KVMOPT_HELP = qemu_binary.KVMOPT_HELP
    _KVMOPT_MLIST = qemu_binary.KVMOPT_MLIST
    _KVMOPT_DEVICELIST = qemu_binary.KVMOPT_DEVICELIST
    _KVMOPTS_CMDS = qemu_binary.KVMOPTS_CMDS

    @classmethod
    def _Files(cls, instance_name: str) -> InstanceFiles:
        directories = Directories(
            pids=cls._PIDS_DIR,
            uids=cls._UIDS_DIR,
            ctrl=cls._CTRL_DIR,
            conf=cls._CONF_DIR,
            nics=cls._NICS_DIR,
            chroot=cls._CHROOT_DIR,
            chroot_quarantine=cls._CHROOT_QUARANTINE_DIR,
        )
        return InstanceFiles(directories, instance_name)

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
    def _InstanceKVMRuntime(cls, instance_name: str) -> str:
        return cls._Files(instance_name).runtime

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
        return instance_process.info(int(pid))

    @classmethod
    def _InstancePidAlive(cls, instance_name: str) -> PidAlive:
        """Tell (pid file, process id, does it run) of an instance; the id is 0 if it does not.

        Raises:
            ProcessUnknownError: it cannot be told.
        """
        files = cls._Files(instance_name)
        pid = instance_process.find(files)
        return (files.pidfile, pid or 0, pid is not None)

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
        shutdown.clear_user_shutdown(cls._Files(instance_name))

    @staticmethod
    def _SocatUnixConsoleParams() -> str:
        return console.socat_parameters()

    @staticmethod
    def _GenerateKvmTapName(nic: Any) -> str:
        return nics.tap_name(nic)

    @staticmethod
    def _GenerateDiskAioCacheParameters(disk_aio: str, disk_cache: str, dev_type: str) -> str:
        return aio_cache(disk_aio, disk_cache, dev_type)

    def _GetNetworkDeviceFeatures(
        self, up_hvp: Mapping[str, Any], devlist: str, kvmhelp: str, vcpus: int = 1
    ) -> tuple[dict[str, Any], str, str]:
        facts = QemuFacts.from_texts("kvm", help_text=kvmhelp, devices=devlist)
        return device_features(up_hvp, facts, vcpus)

    def _GetBusSlots(
        self, hvp: Mapping[str, Any] | None = None, runtime: Sequence[Any] | None = None
    ) -> dict[str, Any]:
        return devices.bus_slots(hvp, runtime)

    @classmethod
    def _ParseKVMVersion(cls, text: str) -> Version:
        return qemu_binary.parse_version(text)

    @classmethod
    def _GetKVMOutput(cls, kvm_path: str, option: str) -> str:
        return qemu_binary.get_output(kvm_path, option)

    @classmethod
    def _GetKVMVersion(cls, kvm_path: str) -> Version:
        return qemu_binary.get_version(kvm_path)

    @classmethod
    def _GetDefaultMachineVersion(cls, kvm_path: str) -> str:
        return qemu_binary.get_default_machine(kvm_path)
