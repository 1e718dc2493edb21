"""Names of upstream's newest code, called as its tests and site code call them."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ganeti import constants, errors, objects
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm import KVMHypervisor
from ganeti_hv_kvm.hv_kvm.command_line import iothreads
from ganeti_hv_kvm.hv_kvm.ganeti.generation import HAS_BLOCKDEV
from ganeti_hv_kvm.hv_kvm.lifecycle import cpu_pinning

WITH_SWITCH = "-soundhw c1,c2,...\n"
WITHOUT_SWITCH = "-audio driver=...\n"
NAME = "inst1.example.com"

blockdev = pytest.mark.skipif(not HAS_BLOCKDEV, reason="this Ganeti describes CD-ROMs by -drive")


@pytest.fixture
def hypervisor():
    with mock.patch("ganeti.utils.EnsureDirs"):
        yield KVMHypervisor()


# Listing


def test_an_instance_whose_monitor_is_not_there_yet_is_told_of_by_its_process(hypervisor):
    with (
        mock.patch.object(hypervisor, "_InstancePidAlive", return_value=("file", 1234, True)),
        mock.patch.object(hypervisor, "_InstancePidInfo", return_value=(NAME, 768, 2)),
        mock.patch.object(hypervisor, "_InstanceQmpMonitor", return_value="/nonexistent/socket"),
        mock.patch("ganeti_hv_kvm.hv_kvm.QmpConnection") as qmp,
    ):
        qmp.return_value.connect.side_effect = FileNotFoundError(2, "No such file")
        info = hypervisor.GetInstanceInfo(NAME)
    assert info == (NAME, 1234, 768, 2, hv_base.HvInstanceState.RUNNING, 0)


def test_what_its_monitor_tells_goes_first(hypervisor):
    answers = {
        "query-status": {"status": "running", "running": True},
        "query-cpus-fast": [{}, {}, {}],
        "query-balloon": {"actual": 512 << 20},
    }
    with (
        mock.patch.object(hypervisor, "_InstancePidAlive", return_value=("file", 1234, True)),
        mock.patch.object(hypervisor, "_InstancePidInfo", return_value=(NAME, 768, 2)),
        mock.patch("ganeti_hv_kvm.hv_kvm.QmpConnection") as qmp,
    ):
        qmp.return_value.execute_qmp = answers.__getitem__
        info = hypervisor.GetInstanceInfo(NAME)
    assert info == (NAME, 1234, 512, 3, hv_base.HvInstanceState.RUNNING, 0)
    assert qmp.return_value.close.called


def test_nonsense_of_its_monitor_is_not_believed(hypervisor, caplog):
    with (
        mock.patch.object(KVMHypervisor, "_InstancePidAlive", return_value=("file", 1234, True)),
        mock.patch.object(KVMHypervisor, "_InstancePidInfo", return_value=(NAME, 768, 2)),
        mock.patch("ganeti_hv_kvm.hv_kvm.QmpConnection"),
    ):
        info = hypervisor.GetInstanceInfo(NAME)
    assert info[2:4] == (768, 2)
    assert "does not tell its memory" in caplog.text


def test_one_that_is_down(hypervisor):
    with mock.patch.object(hypervisor, "_InstancePidAlive", return_value=("file", 0, False)):
        assert hypervisor.GetInstanceInfo(NAME) is None
        with mock.patch.object(hypervisor, "_IsUserShutdown", return_value=True):
            assert hypervisor.GetInstanceInfo(NAME)[4] == hv_base.HvInstanceState.SHUTDOWN


def test_a_listing_goes_through_replaced_names_and_skips_one_in_flux(hypervisor):
    def get(name, hvparams=None):
        if name.startswith("bad"):
            raise FileNotFoundError(2, "No such file or directory")
        return (name, 1234, 768, 2, hv_base.HvInstanceState.RUNNING, 0)

    entries = ["good.example.com.conf", "bad.example.com.conf"]
    with (
        mock.patch("os.listdir", return_value=entries),
        mock.patch.object(hypervisor, "GetInstanceInfo", side_effect=get),
    ):
        assert [one[0] for one in hypervisor.GetAllInstancesInfo()] == ["good.example.com"]


def test_a_listing_sees_the_names_that_its_single_look_goes_through(hypervisor):
    with (
        mock.patch("os.listdir", return_value=["a.conf", "b.conf"]),
        mock.patch.object(KVMHypervisor, "_InstancePidAlive", return_value=("file", 7, True)),
        mock.patch.object(KVMHypervisor, "_InstancePidInfo", return_value=("", 768, 2)),
        mock.patch.object(KVMHypervisor, "_InstanceQmpMonitor", return_value="/nonexistent"),
    ):
        assert [one[:2] for one in hypervisor.GetAllInstancesInfo()] == [("a", 7), ("b", 7)]


def test_unreplaced_names_leave_the_listing_to_the_fleet(hypervisor):
    assert not hypervisor._HasReplaced(hv_kvm.hypervisor._ASKED_FOR_INFO)
    assert not hypervisor._HasReplaced(hv_kvm.hypervisor._ASKED_FOR_ALL_INFOS)


# q35


def test_the_fixed_slot_of_a_q35():
    assert hv_kvm._Q35StaticAddr(0) == ",bus=pcie.0,addr=0x2.0,multifunction=on"
    assert [hv_kvm._Q35StaticAddr(fn) for fn in range(1, 7)] == [
        f",bus=pcie.0,addr=0x2.{fn}" for fn in range(1, 7)
    ]
    names = ("BALLOON", "SCSI_CTRL", "USB_XHCI", "SPICE_VSERIAL", "QGA_VSERIAL", "SOUND")
    assert [getattr(hv_kvm, f"_Q35_FN_{name}") for name in names] == [0, 1, 2, 3, 4, 5]


@blockdev
@pytest.mark.parametrize(
    ("model", "chipset", "number", "device"),
    [
        ("ide", "q35", 0, "ide-cd,bus=ide.0,unit=0,drive=cdrom1"),
        ("ide", "q35", 1, "ide-cd,bus=ide.1,unit=0,drive=cdrom2"),
        ("ide", "i440fx", 0, "ide-cd,drive=cdrom1"),
        ("paravirtual", "i440fx", 0, "virtio-blk-pci,drive=cdrom1"),
        ("scsi-cd", "q35", 0, "scsi-cd,drive=cdrom1"),
    ],
)
def test_a_cdrom(hypervisor, model, chipset, number, device):
    command = []
    more = {"chipset": chipset, "cdrom_index": number}
    node = f"cdrom{number + 1}"
    hypervisor._CdromOption(command, model, "/nonexistent/iso.iso", False, node, **more)
    assert command[::2] == ["-blockdev", "-device"]
    assert f"node-name={node}" in command[1]
    assert command[3] == device


@blockdev
def test_a_cdrom_of_no_model(hypervisor):
    with pytest.raises(errors.HypervisorError, match="a CD-ROM cannot be of type"):
        hypervisor._CdromOption([], "sd", "/iso", False, "cdrom1")


@pytest.mark.skipif(HAS_BLOCKDEV, reason="this Ganeti describes CD-ROMs by -blockdev")
@pytest.mark.parametrize(
    ("model", "boots", "flag", "words"),
    [
        ("ide", False, True, ["-drive", "file=/iso,media=cdrom,format=raw,if=ide"]),
        ("paravirtual", False, False, ["-drive", "file=/iso,media=cdrom,format=raw,if=virtio"]),
        ("paravirtual", True, True,
         ["-boot", "d", "-drive", "file=/iso,media=cdrom,format=raw,if=ide,boot=on"]),
    ],
)  # fmt: skip
def test_a_cdrom_of_ganeti_3_0(hypervisor, model, boots, flag, words):
    command = []
    hypervisor._CdromOption(command, model, "/iso", boots, flag)
    assert command == words


@pytest.mark.parametrize(
    ("model", "spice", "chipset", "kvmhelp", "words"),
    [
        ("ac97", "", "i440fx", WITH_SWITCH, ["-soundhw", "ac97"]),
        ("ac97", "", "i440fx", WITHOUT_SWITCH, ["-audio", "driver=none,model=ac97,id=soundhw"]),
        (
            "ac97", "127.0.0.1", "q35", WITHOUT_SWITCH,
            ["-audiodev", "spice,id=soundhw-dev",
             "-device", "AC97,id=soundhw,bus=pcie.0,addr=0x2.5,audiodev=soundhw-dev"],
        ),
        (
            "hda", "", "q35", WITHOUT_SWITCH,
            ["-audiodev", "none,id=soundhw-dev",
             "-device", "intel-hda,id=soundhw,bus=pcie.0,addr=0x2.5",
             "-device", "hda-duplex,bus=soundhw.0,audiodev=soundhw-dev"],
        ),
    ],
)  # fmt: skip
def test_a_sound_card(hypervisor, model, spice, chipset, kvmhelp, words):
    command = []
    hypervisor._SoundhwOption(command, model, spice_bind=spice, chipset=chipset, kvmhelp=kvmhelp)
    assert command == words


@pytest.mark.parametrize("model", ["es1370", "sb16", "intel-hda"])
def test_a_sound_card_that_a_q35_lacks(model):
    hvp = {constants.HV_KVM_MACHINE_VERSION: "pc-q35-10.2", constants.HV_SOUNDHW: model}
    with pytest.raises(errors.HypervisorError, match=r"soundhw=.* is not supported on the q35"):
        hv_kvm.validate_q35_capability(hvp, "pc-q35-10.2 Standard PC\n")


@pytest.mark.parametrize(("vga", "spice", "warned"), [("", "", 1), ("std", "", 0), ("", "lo", 0)])
def test_an_empty_graphics_card_on_a_q35(vga, spice, warned):
    hvp = {
        constants.HV_KVM_MACHINE_VERSION: "pc-q35-10.2",
        constants.HV_VGA: vga,
        constants.HV_KVM_SPICE_BIND: spice,
    }
    warnings = hv_kvm.validate_q35_capability(hvp, "pc-q35-10.2 Standard PC\n")
    assert sum("cirrus" in one for one in warnings) == warned


# Threads for disks


@pytest.fixture
def counting(monkeypatch):
    """As upstream's test does it: an object of which only the method under test is real."""
    monkeypatch.setattr(iothreads, "PARAMETER", "virtio_disk_iothreads")
    made = mock.Mock(spec=KVMHypervisor)
    made._CalcVirtioDiskIothreads = KVMHypervisor._CalcVirtioDiskIothreads.__get__(made)
    made._CheckDeviceFeature = mock.Mock(return_value=True)
    return made


@pytest.mark.parametrize(
    ("changes", "maps", "count"),
    [
        ({}, True, 4),
        ({}, False, 1),
        ({"virtio_disk_iothreads": 9}, True, 4),
        ({"virtio_disk_iothreads": 0}, True, 0),
        ({constants.HV_KVM_DISK_AIO: "threads"}, True, 0),
        ({constants.HV_DISK_TYPE: "scsi-hd"}, False, 1),
    ],
)
def test_how_many_threads(counting, changes, maps, count):
    counting._CheckDeviceFeature.return_value = maps
    up_hvp = {
        "virtio_disk_iothreads": 4,
        constants.HV_KVM_DISK_AIO: "native",
        constants.HV_DISK_TYPE: "paravirtual",
        constants.HV_KVM_SCSI_CONTROLLER_TYPE: "virtio-scsi-pci",
        constants.HV_KVM_PATH: "/usr/bin/qemu-system-x86_64",
        **changes,
    }
    assert counting._CalcVirtioDiskIothreads(up_hvp, 4) == count


def test_what_a_device_can_is_read_from_what_qemu_says_of_it(hypervisor):
    said = "  iothread-vq-mapping=<IOThreadVirtQueueMappingList> - IOThread virtqueue mapping\n"
    result = SimpleNamespace(output=said, failed=False)
    with mock.patch("ganeti.utils.RunCmd", return_value=result) as run:
        key, regex = KVMHypervisor._KVMOPT_DEVICEHELP_VIRTIO_BLK, "iothread-vq-mapping="
        assert hypervisor._CheckDeviceFeature("/usr/bin/kvm", key, regex)
        assert not hypervisor._CheckDeviceFeature("/usr/bin/kvm", key, "no such property")
    assert run.call_args.args[0] == ["/usr/bin/kvm", "-device", "virtio-blk-pci,?"]


# Site code


class Site(KVMHypervisor):
    """What a site may have made of the class."""

    @hv_kvm._with_qmp
    def Ask(self, instance, what="name"):
        return self.qmp, what


def test_with_qmp_lends_a_connection_to_the_instances_monitor():
    made = object.__new__(Site)
    for name in (NAME, "other.example.com"):
        with mock.patch("ganeti_hv_kvm.hv_kvm.QmpConnection") as qmp:
            lent, what = made.Ask(objects.Instance(name=name), what="status")
        assert (lent, what) == (qmp.return_value, "status")
        qmp.assert_called_once_with(made._InstanceQmpMonitor(name))
        assert made.qmp is None


def test_with_qmp_uses_the_connection_that_is_there_already():
    made = object.__new__(Site)
    made.qmp = "theirs"
    assert made.Ask("anything") == ("theirs", "name")
    assert made.qmp == "theirs"


def test_with_qmp_without_an_instance():
    with pytest.raises(RuntimeError, match="Ask has no instance"):
        object.__new__(Site).Ask("no instance")


def test_block_devices_are_worded_as_at_a_start(hypervisor):
    disk = objects.Disk(
        uuid="1-2-3-4-5", dev_type=constants.DT_FILE, mode=constants.DISK_RDWR, params={},
        hvinfo={"driver": "virtio-blk-pci", "id": "disk-1-2-3", "bus": "pci.0", "addr": "0xd"},
    )  # fmt: skip
    up_hvp = dict(constants.HVC_DEFAULTS[constants.HT_KVM])
    up_hvp[constants.HV_BOOT_ORDER] = constants.HT_BO_NETWORK
    arguments = hypervisor._GenerateKVMBlockDevicesOptions(
        up_hvp, [(disk, "/disks/one", None)], "", 'name "virtio-blk-pci"'
    )
    assert "-device" in arguments
    assert any("disk-1-2-3" in word and "/disks/one" in word for word in arguments)


def test_a_start_runs_qemu_by_the_name_that_a_site_may_replace(hypervisor):
    with mock.patch.object(KVMHypervisor, "_RunKVMCmd") as run:
        hypervisor._Seams().run_qemu(NAME, ["qemu"], [7])
    run.assert_called_once_with(NAME, ["qemu"], [7])


def test_modules_and_classes_of_the_package():
    for name in ("utils", "constants", "errors", "pathutils", "BusAllocatorManager"):
        assert hasattr(hv_kvm, name), name


def test_the_cpus_of_an_instance_are_given_by_its_name_too(hypervisor):
    with mock.patch.object(cpu_pinning, "vcpu_threads", return_value={0: 1}) as threads:
        hypervisor._ExecuteCpuAffinity(NAME, constants.CPU_PINNING_ALL)
    assert threads.call_args.args[0].name == NAME
