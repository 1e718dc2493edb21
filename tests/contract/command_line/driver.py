"""Runs in a process of its own: makes QEMU command lines with one Ganeti and one module.

usage: driver.py GANETI_CODE original|ours QEMU_ANSWERS < cases.json > results.json
       driver.py GANETI_CODE describe
       driver.py GANETI_CODE help < help_texts.json > what_the_original_reads.json

Everything that would touch the system is replaced. Nothing that words the command line is.
"""

from __future__ import annotations

import copy
import itertools
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

GANETI_CODE, SIDE = sys.argv[1:3]
PROJECT = Path(__file__).resolve().parents[3]
sys.path[0:0] = [GANETI_CODE, str(PROJECT / "tests")]
from harness import ganetis_own  # noqa: E402

ganetis_own.be_not_enabled()
from ganeti import (  # noqa: E402
    constants,
    errors,
    netutils,
    objects,
    pathutils,
    ssconf,
    uidpool,
    utils,
)

INTERFACES = {
    "eth46": {4: ["192.0.2.46"], 6: ["2001:db8::46"]},
    "eth4": {4: ["192.0.2.4"], 6: []},
    "eth6": {4: [], 6: ["2001:db8::6"]},
    "eth0": {4: [], 6: []},
}
POOL_USER = "pooluser"


def describe() -> dict:
    """Defaults and enumerations of the KVM parameters."""
    sets = {
        constants.HV_BOOT_ORDER: constants.HT_KVM_VALID_BO_TYPES,
        constants.HV_DISK_CACHE: constants.HT_VALID_CACHE_TYPES,
        constants.HV_DISK_DISCARD: constants.HT_VALID_DISCARD_TYPES,
        constants.HV_DISK_TYPE: constants.HT_KVM_VALID_DISK_TYPES,
        constants.HV_KVM_CDROM_DISK_TYPE: constants.HT_KVM_VALID_DISK_TYPES,
        constants.HV_KVM_DISK_AIO: constants.HT_KVM_VALID_AIO_TYPES,
        constants.HV_KVM_FLAG: constants.HT_KVM_FLAG_VALUES,
        constants.HV_KVM_SCSI_CONTROLLER_TYPE: constants.HT_KVM_VALID_SCSI_CONTROLLER_TYPES,
        constants.HV_KVM_SPICE_JPEG_IMG_COMPR: constants.HT_KVM_SPICE_VALID_LOSSY_IMG_COMPR_OPTIONS,
        constants.HV_KVM_SPICE_LOSSLESS_IMG_COMPR: (
            constants.HT_KVM_SPICE_VALID_LOSSLESS_IMG_COMPR_OPTIONS
        ),
        constants.HV_KVM_SPICE_STREAMING_VIDEO_DETECTION: (
            constants.HT_KVM_SPICE_VALID_VIDEO_STREAM_DETECTION_OPTIONS
        ),
        constants.HV_KVM_SPICE_ZLIB_GLZ_IMG_COMPR: (
            constants.HT_KVM_SPICE_VALID_LOSSY_IMG_COMPR_OPTIONS
        ),
        constants.HV_MIGRATION_MODE: constants.HT_MIGRATION_MODES,
        constants.HV_NIC_TYPE: constants.HT_KVM_VALID_NIC_TYPES,
        constants.HV_REBOOT_BEHAVIOR: constants.REBOOT_BEHAVIORS,
        constants.HV_SECURITY_MODEL: constants.HT_KVM_VALID_SM_TYPES,
        constants.HV_SERIAL_SPEED: constants.VALID_SERIAL_SPEEDS,
        constants.HV_USB_MOUSE: constants.HT_KVM_VALID_MOUSE_TYPES,
    }
    return {
        "defaults": constants.HVC_DEFAULTS[constants.HT_KVM],
        "sets": {name: sorted(values) for name, values in sets.items()},
    }


class Answers:
    """The recorded answers of one QEMU; also notes what is started."""

    def __init__(self, folder: Path) -> None:
        self.help = (folder / "help.txt").read_text()
        self.machines = (folder / "machines.txt").read_text()
        self.devices = (folder / "devices.txt").read_text()
        self.started: list[str] | None = None

    def run_cmd(self, cmd: list, **_: object) -> SimpleNamespace:
        questions = {
            ("--help",): self.help,
            ("-machine", "?"): self.machines,
            ("-device", "?"): self.devices,
        }
        output = questions.get(tuple(cmd[1:]))
        if output is None:
            self.started, output = [str(word) for word in cmd], ""
        return SimpleNamespace(failed=False, output=output, fail_reason=None)


def is_interface(name: str) -> bool:
    utils.PathJoin("/sys/class/net", name)  # refuses a path, as the real one does
    return name in INTERFACES


def open_taps() -> object:
    """An OpenTap whose file descriptors count up from 100."""
    fds = itertools.count(100)

    def open_tap(name: str = "", features: dict | None = None) -> tuple:
        queues = features["mq"][1]
        taps = [next(fds) for _ in range(queues)]
        vhosts = [next(fds) for _ in range(queues)] if features["vhost"] else []
        return (name or "tap0", taps, vhosts)

    return open_tap


def make_objects(case: dict) -> tuple:
    """The instance, its block devices and the parameters it was first started with."""
    hvparams = constants.HVC_DEFAULTS[constants.HT_KVM] | case["hvparams"]
    nics = [
        objects.NIC(
            mac=f"aa:00:00:11:22:{seq:02x}",
            name=nic.get("name"),
            uuid=f"0{seq}000000-1111-4222-8333-444444444444",
            nicparams={constants.NIC_MODE: nic.get("mode", constants.NIC_MODE_BRIDGED)},
        )
        for seq, nic in enumerate(case["nics"])
    ]
    disks = [
        (
            objects.Disk(
                dev_type=disk["template"],
                mode=disk.get("mode", constants.DISK_RDWR),
                params={constants.LDP_ACCESS: disk["access"]} if "access" in disk else {},
                uuid=f"d{seq}000000-1111-4222-8333-444444444444",
            ),
            disk["link"],
            disk.get("uri"),
        )
        for seq, disk in enumerate(case["disks"])
    ]
    instance = objects.Instance(
        name=case.get("name", "web1.example.com"),
        uuid="11111111-2222-4333-8444-555555555555",
        hvparams=hvparams,
        beparams=constants.BEC_DEFAULTS | {constants.BE_VCPUS: 2} | case.get("beparams", {}),
        nics=nics,
        network_port=case.get("network_port", 11005),
        disks=[],
    )
    return instance, disks


def replacements(hv_base_patches: list) -> list:
    """Patches for what both sides must not do for real."""
    store = SimpleNamespace(
        GetPrimaryIPFamily=lambda: socket.AF_INET6, GetUidPool=lambda: "4000-4001"
    )
    uid = SimpleNamespace(GetUid=lambda: 4000, AsStr=lambda: "4000", Unlock=lambda: None)
    return [
        mock.patch.object(netutils, "IsValidInterface", is_interface),
        mock.patch.object(netutils, "GetInterfaceIpAddresses", INTERFACES.get),
        mock.patch.object(ssconf, "SimpleStore", return_value=store),
        mock.patch.object(uidpool, "RequestUnusedUid", return_value=uid),
        mock.patch("pwd.getpwuid", return_value=SimpleNamespace(pw_name=POOL_USER)),
        mock.patch.object(utils, "EnsureDirs"),
        mock.patch.object(utils, "WriteFile"),
        mock.patch.object(utils, "ReadOneLineFile", return_value="secret"),
        *hv_base_patches,
    ]


def original(case: dict, answers: Answers) -> dict:
    """What Ganeti's own module makes of a case."""
    from ganeti.hypervisor import hv_kvm

    ganetis_own.prove(Path(GANETI_CODE))

    class Hypervisor(hv_kvm.KVMHypervisor):
        ValidateParameters = classmethod(lambda *_: None)
        _InstancePidAlive = classmethod(
            lambda *_: ("file", 1 if answers.started else -1, bool(answers.started))
        )
        _ConfigureNIC = staticmethod(lambda *_: None)
        _ExecuteCpuAffinity = _CallMonitorCommand = lambda *_: None
        _ClearUserShutdown = classmethod(lambda *_: None)
        _StartKvmd = staticmethod(lambda *_: None)
        _InstanceStartupMemory = staticmethod(lambda i: i.beparams[constants.BE_MAXMEM])

    instance, block_devices = make_objects(case)
    patches = replacements(
        [
            mock.patch.object(utils, "RunCmd", answers.run_cmd),
            mock.patch.object(hv_kvm, "OpenTap", open_taps()),
            mock.patch.object(hv_kvm, "QmpConnection"),
            mock.patch.object(hv_kvm, "_CheckUrl", return_value=True),
            mock.patch.object(hv_kvm.utils_wrapper, "CloseFdNoError"),
        ]
    )
    for patch in patches:
        patch.start()
    try:
        hypervisor = Hypervisor()
        runtime = hypervisor._GenerateKVMRuntime(
            instance, block_devices, case["startup_paused"], answers.help
        )
        stored = [str(word) for word in runtime[0]]
        places = [disk.hvinfo for disk, _, _ in runtime[3]] + [nic.hvinfo for nic in runtime[1]]
        runtime[2].update(case["up_hvparams"])
        instance.hvparams = instance.hvparams | case["new_hvparams"]
        hypervisor._ExecuteKVMRuntime(instance, runtime, answers.help, incoming=case["incoming"])
    finally:
        mock.patch.stopall()
    return {"stored": stored, "places": places, "argv": answers.started}


def ours(case: dict, answers: Answers) -> dict:
    """What this project makes of the same case."""
    sys.path.insert(0, str(PROJECT / "python"))
    from ganeti_hv_kvm.hv_kvm import bus_manager, command_line
    from ganeti_hv_kvm.hv_kvm.host import bind_address
    from ganeti_hv_kvm.hv_kvm.qemu import facts

    run = pathutils.RUN_DIR + "/kvm-hypervisor"
    instance, disks = make_objects(case)
    name = instance.name
    control = {
        key: f"{run}/ctrl/{name}.{suffix}"
        for key, suffix in (
            ("monitor", "monitor"),
            ("serial", "serial"),
            ("qmp", "qmp"),
            ("kvmd", "kvmd"),
            ("guest_agent", "qga"),
        )
    }
    paths = command_line.Paths(
        pidfile=f"{run}/pid/{name}",
        logfile=f"{pathutils.LOG_KVM_DIR}/{name}.log",
        chroot=f"{run}/chroot/{name}",
        spice_cacert=pathutils.SPICE_CACERT_FILE,
        spice_cert=pathutils.SPICE_CERT_FILE,
        **control,
    )
    facts = facts.QemuFacts.from_texts(
        instance.hvparams[constants.HV_KVM_PATH],
        help_text=answers.help,
        machines=answers.machines,
        devices=answers.devices,
    )
    for patch in replacements([]):
        patch.start()
    try:
        hvp = instance.hvparams
        display = bind_address.resolve(hvp)
        request = command_line.StartRequest(instance, facts, paths, display, case["startup_paused"])
        found = [disk for disk, _, _ in disks]
        bus_manager.place_all(hvp, found, instance.nics, root_ports=request.is_q35)
        stored = command_line.build(request)
        started_with = copy.deepcopy(hvp) | case["up_hvparams"]
        instance.hvparams = hvp | case["new_hvparams"]
        up_hvp = objects.FillDict(instance.hvparams, started_with)
        features, _, _ = command_line.device_features(up_hvp, facts)
        open_tap = open_taps()
        attached = [
            command_line.AttachedNic(nic, *open_tap(features=features)[1:]) for nic in instance.nics
        ]
        pool = instance.hvparams[constants.HV_SECURITY_MODEL] == constants.HT_SM_POOL
        before = list(stored)
        argv = command_line.complete(
            stored,
            command_line.Completion(
                instance=instance,
                hvp=up_hvp,
                facts=facts,
                paths=paths,
                nics=attached,
                disks=disks,
                incoming=tuple(case["incoming"]) if case["incoming"] else None,
                pool_user=POOL_USER if pool else None,
            ),
        )
        assert stored == before, "complete() changed its input"
    finally:
        mock.patch.stopall()
    places = [disk.hvinfo for disk, _, _ in disks] + [nic.hvinfo for nic in instance.nics]
    return {"stored": stored, "places": places, "argv": argv}


def outcome(make: object, case: dict, folder: Path) -> dict:
    """The command line, or what was raised; Ganeti's own kind of error is marked."""
    answers = Answers(folder)
    try:
        return make(copy.deepcopy(case), answers)
    except Exception as err:
        return {
            "error": f"{type(err).__name__}: {err}",
            "hypervisor_error": isinstance(err, errors.HypervisorError),
        }


def read_help(text: str) -> dict:
    """What the original finds in a --help."""
    from ganeti.hypervisor.hv_kvm import KVMHypervisor

    ganetis_own.prove(Path(GANETI_CODE))
    patterns = {
        "needs_boot_flag": KVMHypervisor._BOOT_RE,
        "has_auto_read_only": KVMHypervisor._AUTO_RO_RE,
        "has_vhost": KVMHypervisor._VHOST_RE,
        "has_multiqueue": KVMHypervisor._VIRTIO_NET_QUEUES_RE,
        "-qmp": KVMHypervisor._QMP_RE,
        "-netdev": KVMHypervisor._NETDEV_RE,
        "-display": KVMHypervisor._DISPLAY_RE,
        "-machine": KVMHypervisor._MACHINE_RE,
        "-uuid": KVMHypervisor._UUID_RE,
        "-enable-kvm": KVMHypervisor._ENABLE_KVM_RE,
        "-disable-kvm": KVMHypervisor._DISABLE_KVM_RE,
    }
    found = {name: pattern.search(text) is not None for name, pattern in patterns.items()}
    return found | {"version": KVMHypervisor._ParseKVMVersion(text)}


def main() -> None:
    if SIDE == "describe":
        json.dump(describe(), sys.stdout)
        return
    if SIDE == "help":
        json.dump([read_help(text) for text in json.load(sys.stdin)], sys.stdout)
        return
    make = {"original": original, "ours": ours}[SIDE]
    folder = Path(sys.argv[3])
    json.dump([outcome(make, case, folder) for case in json.load(sys.stdin)], sys.stdout)


main()
