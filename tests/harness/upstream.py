"""Ganeti 3.1 with what upstream's development version adds and this package cares about.

That version is not packaged. What code can find of it by its features is put on top of 3.1, in a
tree of links beside the real one; nothing here is upstream's code. "dev" stands for upstream as of
commit 09c5c674f (IOThreads, summer 2026), "next" adds the proposals of September 2026.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import paths

# Ganeti's own function has no way to add to the environment; env(1) has.
_NIC_FUNCTIONS = """
_run_script = ConfigureNIC


def _with_action(action, cmd, extra_env):
    values = {"ACTION": action, **(extra_env or {})}
    return ["env", *[f"{key}={value}" for key, value in values.items()], *cmd]


def ConfigureNIC(cmd, instance, seq, nic, tap, extra_env=None):
    _run_script(_with_action(constants.NIC_ACTION_UP, cmd, extra_env), instance, seq, nic, tap)


def DeConfigureNIC(cmd, instance, seq, nic, tap):
    try:
        _run_script(_with_action(constants.NIC_ACTION_DOWN, cmd, None), instance, seq, nic, tap)
    except errors.HypervisorError as err:
        logging.error("%s: the script for a NIC that has gone: %s", tap, err)


_few_enough = (
    lambda count: count == "auto" or 0 < count <= constants.MAX_VIRTIO_NET_QUEUES,
    f"must be auto or 1 to {constants.MAX_VIRTIO_NET_QUEUES} queues",
    None,
    None,
)
REQ_VIRTIO_NET_QUEUES_CHECK = (True, *_few_enough)
OPT_VIRTIO_NET_QUEUES_CHECK = (False, *_few_enough)
"""

_IOTHREADS_CHECK = """
OPT_VIRTIO_DISK_IOTHREADS_CHECK = (
    False,
    lambda count: 0 <= count <= constants.MAX_VIRTIO_DISK_IOTHREADS,
    f"must be 0 to {constants.MAX_VIRTIO_DISK_IOTHREADS} threads",
    None,
    None,
)
"""

# One script for both directions. There is none for a bridged NIC that has gone, and mode ext is
# all the site's own.
_NIC_SCRIPT = f"""#!/bin/bash
case "$MODE $ACTION" in
  ext*) exec "$GANETI_ROOTDIR/etc/ganeti/network/ext/$ACTION" ;;
  *up) exec {paths.NIC_SCRIPT} "$@" ;;
esac
echo "no script for $MODE, $ACTION" >&2
exit 1
"""

_NIC_CONSTANTS = """
NIC_MODE_EXT = "ext"
NIC_VALID_MODES = NIC_VALID_MODES | {NIC_MODE_EXT}
NIC_ACTION_UP = "up"
NIC_ACTION_DOWN = "down"
MAX_VIRTIO_NET_QUEUES = 32
MAX_VIRTIO_NET_QUEUES_AUTO = 8
"""
_IOTHREADS = """
HV_VIRTIO_DISK_IOTHREADS = "virtio_disk_iothreads"
MAX_VIRTIO_DISK_IOTHREADS = 8
HVS_PARAMETER_TYPES = {**HVS_PARAMETER_TYPES, HV_VIRTIO_DISK_IOTHREADS: VTYPE_INT}
HVS_PARAMETERS = frozenset(HVS_PARAMETER_TYPES)
HVC_DEFAULTS[HT_KVM][HV_VIRTIO_DISK_IOTHREADS] = 1
"""

_ADDED = {
    "constants.py": _NIC_CONSTANTS + _IOTHREADS,
    "pathutils.py": """
KVM_NIC_SETUP = {script!r}
del KVM_IFUP
""",
    "hypervisor/hv_base.py": _NIC_FUNCTIONS + _IOTHREADS_CHECK,
}


#: What is known to be coming: proposed upstream, and carried by distributors.
_NEXT = """
def _coming(name, kind, default):
    HVS_PARAMETER_TYPES[name] = kind
    HVC_DEFAULTS[HT_KVM][name] = default
    return name


HV_DISK_BPS = _coming("disk_bps", VTYPE_INT, 0)
HV_DISK_IOPS = _coming("disk_iops", VTYPE_INT, 0)
HV_BOOT_TYPE = _coming("boot_type", VTYPE_STRING, "direct_kernel")
HV_OVMF_CODE = _coming("ovmf_code", VTYPE_STRING, "/usr/share/OVMF/OVMF_CODE.fd")
HV_OVMF_VARS = _coming("ovmf_vars", VTYPE_STRING, "/usr/share/OVMF/OVMF_VARS.fd")
HT_BOOT_DIRECT_KERNEL = "direct_kernel"
HT_BOOT_DIRECT_KERNEL_EFI = "direct_kernel_efi"
HT_BOOT_BIOS = "bios"
HT_BOOT_UEFI = "uefi"
HT_KVM_VALID_BOOT_MODES = frozenset(
    [HT_BOOT_DIRECT_KERNEL, HT_BOOT_DIRECT_KERNEL_EFI, HT_BOOT_BIOS, HT_BOOT_UEFI]
)
DR_ROLE_DATA = "data"
DR_ROLE_FIRMWARE = "firmware"
OVMF_FIRMWARE_DISK_SIZE = 32
HV_FAIL_ON_NO_HP = _coming("fail_on_no_hp", VTYPE_BOOL, False)
HV_KVM_QMP_TIMEOUT = _coming("kvm_qmp_timeout", VTYPE_INT, 5)
HV_MIGRATION_DOWNTIME_MAX = _coming("migration_downtime_max", VTYPE_INT, 0)
HV_MIGRATION_CANCEL_THRESHOLD = _coming("migration_cancel_threshold", VTYPE_INT, 0)
HV_MEMORY_HOTPLUG_METHOD = _coming("memory_hotplug_method", VTYPE_STRING, "none")
HOTPLUG_TARGET_VCPU = "vcpu"
HOTPLUG_TARGET_MEMORY = "memory"
HOTPLUG_ALL_TARGETS |= {HOTPLUG_TARGET_VCPU, HOTPLUG_TARGET_MEMORY}
HVS_PARAMETERS = frozenset(HVS_PARAMETER_TYPES)
"""
_NEXT_OBJECTS = """
class MigrationStatus(MigrationStatus):
  __slots__ = ["migration_downtime"]
"""

# Disks get a role, which only a member of the class can hold.
_SLOTS_OF_DISKS = ('"hvinfo",\n    "serial_no",', '"hvinfo",\n    "role",\n    "serial_no",')
# Where Ganeti's daemons keep the configuration, they keep of a disk what they know: its name.
_ROLE_BY_NAME = """
Disk.role = property(lambda self: constants.DR_ROLE_FIRMWARE if self.name == "firmware" else None)
"""

#: What a later version may bring: a parameter that this package does not know, in Ganeti's own
#: words. Its own module does with it what a test can see.
_UNKNOWN_PARAMETER = """
HVS_PARAMETER_TYPES = {**HVS_PARAMETER_TYPES, "moon_phase": VTYPE_STRING}
HVS_PARAMETERS = frozenset(HVS_PARAMETER_TYPES)
HVC_DEFAULTS[HT_KVM]["moon_phase"] = ""
"""
_OWN_MODULE = """
for _name in constants.HVC_DEFAULTS[constants.HT_KVM]:
  KVMHypervisor.PARAMETERS.setdefault(_name, hv_base.NO_CHECK)
KVMHypervisor.PARAMETERS["moon_phase"] = hv_base.ParamInSet(False, ["new", "full"])


def _with_moon(generate):
  def with_moon(self, instance, *args, **kwargs):
    runtime = generate(self, instance, *args, **kwargs)
    if instance.hvparams["moon_phase"]:
      moon = "name=opt/org.ganeti/moon,string=" + instance.hvparams["moon_phase"]
      runtime[0].extend(["-fw_cfg", moon])
    return runtime
  return with_moon


KVMHypervisor._GenerateKVMRuntime = _with_moon(KVMHypervisor._GenerateKVMRuntime)
"""

#: The names of these generations, beside "3.0" and "3.1".
GENERATION = "dev"
NEXT = "next"
UNKNOWN = "unknown"


def code(generation: str, folder: Path) -> Path:
    """Where to import a generation from; those that are not packaged are made in ``folder``."""
    if generation == GENERATION:
        _make_tree(folder / "code")
    elif generation == NEXT:
        _make_tree(folder / "code")
        _make_next(folder / "code/ganeti")
    elif generation == UNKNOWN:
        _make_unknown(folder / "code")
    else:
        return paths.GANETI_CODE[generation]
    return folder / "code"


def _make_tree(target: Path) -> None:
    source = paths.GANETI_CODE["3.1"] / "ganeti"
    _link_all(source, target / "ganeti")
    _replace_by_folder(source / "hypervisor", target / "ganeti/hypervisor")
    script = target / "kvm-nic-setup"
    script.write_text(_NIC_SCRIPT)
    script.chmod(0o755)
    for name, text in _ADDED.items():
        _append(target / "ganeti", name, text.replace("{script!r}", repr(str(script))))


def _make_next(target: Path) -> None:
    with (target / "constants.py").open("a") as file:
        file.write(_NEXT)
    text = (target / "objects.py").read_text()
    assert _SLOTS_OF_DISKS[0] in text
    (target / "objects.py").unlink()  # a link to the real one
    (target / "objects.py").write_text(text.replace(*_SLOTS_OF_DISKS) + _NEXT_OBJECTS)


def _make_unknown(target: Path) -> None:
    source = paths.GANETI_CODE["3.1"] / "ganeti"
    _link_all(source, target / "ganeti")
    for folder in ("hypervisor", "hypervisor/hv_kvm"):
        _replace_by_folder(source / folder, target / "ganeti" / folder)
    _append(target / "ganeti", "constants.py", _UNKNOWN_PARAMETER)
    _append(target / "ganeti", "hypervisor/hv_kvm/__init__.py", _OWN_MODULE)


def add_coming_parameters(installed: Path) -> None:
    """Give an installed Ganeti 3.1, whose Python code ``installed`` is, the parameters of "next".

    And the one of "unknown". Its NIC scripts stay what they are: Ganeti's own module, which builds
    guests here, knows no others.
    """
    _append(installed, "constants.py", _IOTHREADS + _NEXT + _UNKNOWN_PARAMETER)
    _append(installed, "objects.py", _NEXT_OBJECTS + _ROLE_BY_NAME)
    _append(installed, "hypervisor/hv_base.py", _IOTHREADS_CHECK)
    _append(installed, "hypervisor/hv_kvm/__init__.py", _OWN_MODULE)


def _append(target: Path, name: str, text: str) -> None:
    whole = (target / name).read_text() + text
    (target / name).unlink()  # it may be a link to the real one
    (target / name).write_text(whole)


def _link_all(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name != "__pycache__":
            os.symlink(entry, target / entry.name)


def _replace_by_folder(source: Path, target: Path) -> None:
    target.unlink()
    _link_all(source, target)
