"""What holds for every command line."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import Display
from unit.hv_kvm.command_line import samples

DEFAULTS = constants.HVC_DEFAULTS[constants.HT_KVM]
SETS = {
    constants.HV_BOOT_ORDER: constants.HT_KVM_VALID_BO_TYPES,
    constants.HV_DISK_CACHE: constants.HT_VALID_CACHE_TYPES,
    constants.HV_DISK_DISCARD: {"ignore", "unmap"},
    constants.HV_DISK_TYPE: constants.HT_KVM_VALID_DISK_TYPES,
    constants.HV_KVM_DISK_AIO: {"threads", "native"},
    constants.HV_KVM_FLAG: {"", *constants.HT_KVM_FLAG_VALUES},
    constants.HV_NIC_TYPE: constants.HT_KVM_VALID_NIC_TYPES,
    constants.HV_KVM_CDROM_DISK_TYPE: {"", "ide", "paravirtual", "scsi-cd"},
    constants.HV_KVM_SCSI_CONTROLLER_TYPE: constants.HT_KVM_VALID_SCSI_CONTROLLER_TYPES,
    constants.HV_REBOOT_BEHAVIOR: constants.REBOOT_BEHAVIORS,
    constants.HV_SECURITY_MODEL: {"none", "user"},
    constants.HV_KVM_EXTRA: {"", "-a b", "  -a   b "},
    constants.HV_KVM_PATH: {samples.QEMU},
    constants.HV_USB_MOUSE: {"", *constants.HT_KVM_VALID_MOUSE_TYPES},
    constants.HV_USB_DEVICES: {"", "tablet,,mouse", "usb-ccid host:02e1:5612", "disk:/x=y audio"},
}
# Words without white space, as for paths and names; with commas, quotes and equal signs.
WORDS = st.text("ab/,='\"", min_size=1, max_size=8).map("/x{}".format)


def values_of(name: str, default: Any) -> st.SearchStrategy[Any]:
    if name in SETS:
        return st.sampled_from(sorted(SETS[name]))
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(0, 12)
    return st.just("") | WORDS


HVPARAMS = st.fixed_dictionaries({}, optional={
    name: values_of(name, default) for name, default in DEFAULTS.items()
})  # fmt: skip
DIALECT = st.sampled_from(sorted(samples.DIALECTS)).map(samples.DIALECTS.get)
QEMU = st.sampled_from(["7.2", "10.0"]).map(samples.facts)
# Where a switch takes a list of properties.
PROPERTY_SWITCHES = ("-drive", "-blockdev", "-device", "-vnc", "-spice", "-object", "-chardev")


def refusals_are_no_examples(make: Callable[[], list[str]]) -> list[str]:
    """The command line; gives the example up where QEMU can have no such guest."""
    try:
        return make()
    except errors.HypervisorError as err:
        if any(text in str(err) for text in ("has no device", "CD-ROM cannot be", "vCPUs")):
            reject()
        raise


def build_all(hvparams: dict, **more: Any) -> list[str]:
    made = samples.instance(nics=1, **hvparams)
    screen = Display(vnc=hvparams.get(constants.HV_VNC_BIND_ADDRESS) or None)
    disks = [samples.disk(link="/l,ink")]
    return refusals_are_no_examples(lambda: samples.whole(made, disks, display=screen, **more))


@given(HVPARAMS, DIALECT, QEMU)
@settings(deadline=None)
def test_words_are_texts_and_none_is_empty(hvparams: dict, dialect: Any, qemu: Any) -> None:
    argv = build_all(hvparams, dialect=dialect, facts=qemu)

    assert all(isinstance(word, str) and word for word in argv)
    assert argv[0] == samples.QEMU


@given(HVPARAMS, DIALECT, QEMU)
@settings(deadline=None)
def test_the_same_input_gives_the_same_words(hvparams: dict, dialect: Any, qemu: Any) -> None:
    before = copy.deepcopy(hvparams)
    first = build_all(hvparams, dialect=dialect, facts=qemu)

    assert build_all(hvparams, dialect=dialect, facts=qemu) == first
    assert hvparams == before


@given(HVPARAMS, DIALECT, QEMU)
@settings(deadline=None)
def test_no_path_becomes_a_property(hvparams: dict, dialect: Any, qemu: Any) -> None:
    raw = (constants.HV_CPU_TYPE, constants.HV_SOUNDHW)
    assume(not any(hvparams.get(name) for name in raw))
    argv = build_all(hvparams, dialect=dialect, facts=qemu)

    for switch, word in itertools.pairwise(argv):
        if switch in PROPERTY_SWITCHES:
            parts = word.replace(",,", "").split(",")
            # What the commas of WORDS would begin: never one of QEMU's names.
            assert not any(set(part.partition("=")[0]) <= set("ab/'\"") for part in parts), word


@given(HVPARAMS, DIALECT)
@settings(deadline=None)
def test_complete_leaves_the_stored_command_as_it_is(hvparams: dict, dialect: Any) -> None:
    made = samples.instance(**hvparams)
    stored = ["/bin/qemu", "-m", 128]
    given_words = copy.copy(stored)
    completion = samples.completion(made, dialect=dialect)
    argv = refusals_are_no_examples(lambda: command_line.complete(stored, completion))

    assert stored == given_words
    assert argv[:3] == ["/bin/qemu", "-m", "128"]


@given(st.booleans(), st.booleans(), DIALECT)
def test_a_guest_is_held_once_but_never_on_its_arrival(
    paused: bool, arrives: bool, dialect: Any
) -> None:
    argv = samples.whole(
        samples.instance(),
        [],
        dialect,
        startup_paused=paused,
        incoming=("192.0.2.1", 8102) if arrives else None,
    )

    assert argv.count(command_line.START_PAUSED) == int(paused or not arrives)


def test_defaults_are_accepted_as_they_are() -> None:
    made = samples.instance(nics=1)
    made.hvparams = dict(DEFAULTS)

    assert samples.whole(made, [samples.disk()], command_line.request.DIALECT)


Q35_HVPARAMS = st.fixed_dictionaries({
    constants.HV_KVM_MACHINE_VERSION: st.sampled_from(["q35", "pc-q35-7.2"]),
    constants.HV_DISK_TYPE: st.sampled_from(["paravirtual", "scsi-hd"]),
    constants.HV_KVM_SCSI_CONTROLLER_TYPE: st.just("megasas"),  # lsi has too few targets
    constants.HV_NIC_TYPE: st.sampled_from(["paravirtual", "e1000", "rtl8139"]),
    constants.HV_SOUNDHW: st.sampled_from(["", "ac97", "hda"]),
    constants.HV_USB_MOUSE: st.sampled_from(["", "tablet"]),
    constants.HV_USB_DEVICES: st.sampled_from(["", "keyboard,mouse"]),
    constants.HV_USE_GUEST_AGENT: st.booleans(),
    constants.HV_KVM_CDROM_DISK_TYPE: st.sampled_from(["", "ide", "scsi-cd"]),
    constants.HV_CDROM_IMAGE_PATH: st.sampled_from(["", "/first.iso"]),
    constants.HV_KVM_CDROM2_IMAGE_PATH: st.sampled_from(["", "/second.iso"]),
    constants.HV_KVM_SPICE_BIND: st.sampled_from(["", "192.0.2.1"]),
    constants.HV_KVM_SPICE_USE_VDAGENT: st.booleans(),
})  # fmt: skip


def _devices(argv: list[str]) -> list[dict[str, str]]:
    """The properties of each -device, its driver as one of them."""
    words = [word for switch, word in itertools.pairwise(argv) if switch == "-device"]
    return [
        dict(part.partition("=")[::2] for part in f"driver={word}".split(",")) for word in words
    ]


@given(Q35_HVPARAMS, st.integers(0, 8), st.integers(0, 16), DIALECT, QEMU)
@settings(deadline=None)
def test_every_device_of_a_q35_has_a_place_of_its_own(
    hvparams: dict, nics: int, disks: int, dialect: Any, qemu: Any
) -> None:
    made = samples.instance(nics=nics, **hvparams)
    screen = Display(spice=hvparams[constants.HV_KVM_SPICE_BIND] or None)
    found = [samples.disk(seq=seq) for seq in range(disks)]
    devices = _devices(samples.whole(made, found, dialect, display=screen, facts=qemu))

    ports = {one["id"] for one in devices if one["driver"] == "pcie-root-port"}
    on_pci = [one for one in devices if one.get("bus") in ports | {"pcie.0"}]
    assert len({(one["bus"], one["addr"]) for one in on_pci}) == len(on_pci)
    assert [one["driver"] for one in on_pci if one["addr"] == "0x2.0"] == ["virtio-balloon"]
    buses = {one["bus"] for one in devices if "bus" in one}
    assert buses - ports <= {"pcie.0", "scsi.0", "ide.0", "ide.1", "soundhw.0"}
    assert not [one for one in devices if one.get("bus") == "pci.0"]
    behind = sum(one["bus"] in ports for one in on_pci)
    assert behind == nics + (disks if hvparams[constants.HV_DISK_TYPE] == "paravirtual" else 0)
