"""What is meant to differ from the original, as code: the table in tests/data/command_line.

``apply`` turns the original's arguments into what ours must be, for the differences that show in
the arguments themselves. Where the original fails, or says something that cannot be mended word by
word, the case carries a "stand_in" (real value -> one that the original can deal with) and a
"text" (what the original then says -> what ours must say).
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.command_line import cases

Argv = list[str]
TABLE = Path(__file__).resolve().parents[2] / "data/command_line/differences.json"


def table() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(TABLE.read_text())}


def _after(argv: Argv, switch: str, change: Callable[[str], str]) -> Argv:
    """Changes the argument of a switch wherever it stands."""
    return [
        change(word) if previous == switch else word
        for previous, word in zip(["", *argv], argv, strict=False)
    ]


def _sound(argv: Argv, _case: cases.Case) -> Argv:
    if "-soundhw" not in argv:
        return argv
    at, driver = argv.index("-soundhw"), "spice" if "-spice" in argv else "none"
    model = argv[at + 1].replace(",", ",,")
    return [*argv[:at], "-audio", f"driver={driver},model={model},id=soundhw", *argv[at + 2 :]]


def _sound_list(argv: Argv, _case: cases.Case) -> Argv:
    return _after(argv, "-audio", lambda word: word.replace("ac97,es1370", "ac97,,es1370"))


def _no_acpi(argv: Argv, _case: cases.Case) -> Argv:
    if "-no-acpi" not in argv:
        return argv
    rest = [word for word in argv if word != "-no-acpi"]
    return _after(rest, "-machine", lambda word: re.sub(r"^[^,]+", r"\g<0>,acpi=off", word))


def _run_with(argv: Argv, _case: cases.Case) -> Argv:
    for switch, key in (("-runas", "user"), ("-chroot", "chroot")):
        argv = _after(argv, switch, lambda word, key=key: f"{key}={word}")
        argv = ["-run-with" if word == switch else word for word in argv]
    return argv


_FLOPPY = re.compile(r"^(file=.*,if=floppy|driver=raw,node-name=floppy1,.*)$")


def _floppy_chroot(argv: Argv, case: cases.Case) -> Argv:
    security = case["hvparams"].get("security_model", "none")
    confined = case["hvparams"].get("use_chroot") or security != "none"
    more = r"\1,auto-read-only=off" if confined else r"\1"
    return [_FLOPPY.sub(more, word) for word in argv]


def _floppy_boot(argv: Argv, _case: cases.Case) -> Argv:
    return _after(argv, "-drive", lambda word: word.replace(",boot=on,if=floppy", ",if=floppy"))


_SCSI_CDROM = re.compile(r"(?P<head>file=.*,media=cdrom.*),if=scsi-[a-z]+$")


def _scsi_id(case: cases.Case, number: int) -> str:
    if not case["hvparams"].get("disk_type", "").startswith("scsi-"):
        return ""
    lsi = case["hvparams"].get("scsi_controller_type", "lsi") == "lsi"
    return f",scsi-id={({1: 6, 2: 5} if lsi else {1: 17, 2: 16})[number]}"


def _scsi_cdrom(argv: Argv, case: cases.Case) -> Argv:
    out: Argv = []
    for word in argv:
        found = _SCSI_CDROM.match(word)
        if not found:
            out.append(word)
            continue
        second = case["hvparams"].get("cdrom2_image_path") or "none"
        number = 2 if word.startswith(f"file={second},") else 1
        device = f"scsi-cd,drive=cdrom{number}{_scsi_id(case, number)}"
        out += [f"{found['head']},if=none,id=cdrom{number}", "-device", device]
    if out != argv and not any(word.endswith(",id=scsi") for word in out):
        controller = case["hvparams"].get("scsi_controller_type", "lsi")
        at = out.index("virtio-balloon") - 1
        out[at:at] = ["-device", f"{controller},id=scsi"]
    return out


def _scsi_cdrom_target(argv: Argv, case: cases.Case) -> Argv:
    pattern = re.compile(r"^scsi-cd,drive=cdrom(\d)$")
    return [pattern.sub(lambda m: m[0] + _scsi_id(case, int(m[1])), word) for word in argv]


def _passthrough_cache(argv: Argv, _case: cases.Case) -> Argv:
    return [re.sub(r"^(scsi-(?:block|generic),.*),write-cache=\w+$", r"\1", word) for word in argv]


def _gluster_server(argv: Argv, _case: cases.Case) -> Argv:
    def as_properties(found: re.Match[str]) -> str:
        (server,) = ast.literal_eval(found[1])
        return ",".join(f"file.server.0.{key}={value}" for key, value in server.items())

    return [re.sub(r"file\.server=(\[.*?\])", as_properties, word) for word in argv]


def _disk_aio_unset(argv: Argv, _case: cases.Case) -> Argv:
    return [word.replace(",file.aio=,", ",file.aio=threads,") for word in argv]


def _isa_nic(argv: Argv, _case: cases.Case) -> Argv:
    return [re.sub(r"^(ne2k_isa,id=[^,]+),bus=pci\.0,addr=\w+", r"\1", word) for word in argv]


def _empty_words(argv: Argv, _case: cases.Case) -> Argv:
    return [word for word in argv if word]


def _usb_list(argv: Argv, _case: cases.Case) -> Argv:
    named = [""] * len(argv)
    for at, word in enumerate(argv):
        named[at] = "drop" if word == "-usbdevice" and argv[at + 1] == "" else ""
        if at and named[at - 1] == "drop":
            named[at] = "drop too"
    return [word for word, mark in zip(argv, named, strict=True) if not mark]


def _discard_default(argv: Argv, _case: cases.Case) -> Argv:
    return [word.replace(",discard=default,", ",discard=ignore,") for word in argv]


def _incoming_ipv6(argv: Argv, _case: cases.Case) -> Argv:
    return _after(
        argv, "-incoming", lambda word: re.sub(r"^tcp:(.*:.*):(\d+)$", r"tcp:[\1]:\2", word)
    )


def _ftp_cdrom(argv: Argv, _case: cases.Case) -> Argv:
    return [word.replace("file.driver=http,file.url=ftp", "file.driver=ftp,file.url=ftp")
            for word in argv]  # fmt: skip


def _vnc_interface(argv: Argv, _case: cases.Case) -> Argv:
    return _after(argv, "-vnc", lambda word: re.sub(r"^unix:eth6/.*", "[2001:db8::6]:5105", word))


# What shares a slot of a q35, and its place there.
_Q35_FIXED = {
    "virtio-balloon": "virtio-balloon,bus=pcie.0,addr=0x2.0,multifunction=on",
    "virtio-scsi-pci,id=scsi": "virtio-scsi-pci,id=scsi,bus=pcie.0,addr=0x2.1",
    "virtio-serial-pci,id=spice": "virtio-serial-pci,id=spice,bus=pcie.0,addr=0x2.3",
    "virtio-serial,id=qga0": "virtio-serial,id=qga0,bus=pcie.0,addr=0x2.4",
}


def _is_q35(case: cases.Case) -> bool:
    return "q35" in str(case["hvparams"].get("machine_version"))


def _q35_ports() -> Argv:
    ports = [
        f"pcie-root-port,id=rp{slot},bus=pcie.0,addr={slot:#x},chassis={slot},port={slot}"
        for slot in range(3, 27)
    ]
    return [word for port in ports for word in ("-device", port)]


def _q35(argv: Argv, case: cases.Case) -> Argv:
    if not _is_q35(case):
        return argv
    disk_ports, nic_ports = iter(range(11, 27)), iter(range(3, 11))

    def behind_a_port(word: str) -> str:
        if ",id=disk-" in word:
            return re.sub(
                r"bus=pci\.0,addr=\w+", lambda _: f"bus=rp{next(disk_ports)},addr=0x0", word
            )
        port = next(nic_ports)
        return re.sub(r"bus=pci\.0,addr=\w+", f"bus=rp{port},addr=0x0,acpi-index={port - 2}", word)

    words = [
        behind_a_port(word) if ",bus=pci.0," in word else _Q35_FIXED.get(word, word)
        for word in argv
        if word != "-usb"
    ]
    at = words.index("-pidfile") + 2
    return [*words[:at], *_q35_ports(), *words[at:]]


def places(found: list[dict[str, Any]], case: cases.Case) -> list[dict[str, Any]]:
    """Where ours must put what the original puts there."""
    ports = {"disk": iter(range(11, 27)), "nic": iter(range(3, 11))}
    expected = []
    for place in found:
        kind = place["id"].partition("-")[0]
        if place["driver"] == "ne2k_isa":
            place = {key: value for key, value in place.items() if key not in ("bus", "addr")}
        elif _is_q35(case) and place["bus"] == "pci.0":
            port = next(ports[kind])
            place = place | {"bus": f"rp{port}", "addr": "0x0"}
            place |= {"acpi-index": port - 2} if kind == "nic" else {}
        expected.append(place)
    return expected


def _no_hpet(argv: Argv, _case: cases.Case) -> Argv:
    if "-no-hpet" not in argv:
        return argv
    rest = [word for word in argv if word != "-no-hpet"]
    return _after(rest, "-machine", lambda word: re.sub(r"^[^,]+", r"\g<0>,hpet=off", word))


def _machine_alias(argv: Argv, case: cases.Case) -> Argv:
    types = {"pc": f"pc-i440fx-{case['qemu']}", "q35": f"pc-q35-{case['qemu']}"}
    return _after(
        argv, "-machine", lambda word: re.sub(r"^(pc|q35)(?=,|$)", lambda m: types[m[0]], word)
    )


def _ide_places(argv: Argv, case: cases.Case) -> Argv:
    """The places that QEMU would give by itself, but for the ports of a q35."""
    count = itertools.count()

    def placed(found: re.Match[str]) -> str:
        place = f"ide.{int(found[1]) - 1},unit=0" if _is_q35(case) else f"ide.1,unit={next(count)}"
        return f"ide-cd,bus={place},drive=cdrom{found[1]}"

    return [re.sub(r"^ide-cd,drive=cdrom(\d)", placed, word) for word in argv]


IN_ARGUMENTS: dict[str, Callable[[Argv, cases.Case], Argv]] = {
    "sound": _sound,
    "sound-list": _sound_list,
    "no-acpi": _no_acpi,
    "run-with": _run_with,
    "floppy-boot": _floppy_boot,
    "floppy-chroot": _floppy_chroot,
    "scsi-cdrom": _scsi_cdrom,
    "scsi-cdrom-target": _scsi_cdrom_target,
    "passthrough-cache": _passthrough_cache,
    "gluster-server": _gluster_server,
    "disk-aio-unset": _disk_aio_unset,
    "isa-nic": _isa_nic,
    "q35": _q35,
    "usb-list": _usb_list,  # before the next one, which would leave a switch without its value
    "empty-words": _empty_words,
    "discard-default": _discard_default,
    "incoming-ipv6": _incoming_ipv6,
    "ftp-cdrom": _ftp_cdrom,
    "vnc-interface": _vnc_interface,
    "no-hpet": _no_hpet,
    "machine-alias": _machine_alias,
    "ide-places": _ide_places,
}


def apply(argv: Argv, case: cases.Case, ganeti: str, qemu: str) -> tuple[Argv, set[str]]:
    """What ours must be, and the ids of the differences that made it so."""
    used = set()
    rows = table()
    for name, change in IN_ARGUMENTS.items():
        if ganeti not in rows[name]["ganeti"] or qemu not in rows[name]["qemu"]:
            continue
        changed = change(argv, {**case, "qemu": qemu})
        if changed != argv:
            used.add(name)
        argv = changed
    return argv, used


def _replace(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, words) for item in value]
    if isinstance(value, str):
        for old, new in words.items():
            value = value.replace(old, new)
    return value


def for_original(case: cases.Case) -> cases.Case:
    """The case with its stand-ins."""
    return _replace({**case, "text": None, "stand_in": None}, case["stand_in"])


def from_original(result: dict[str, Any], case: cases.Case) -> dict[str, Any]:
    """The original's result on the stand-ins, in the words that ours must have."""
    return _replace(result, case["text"])


def special(ganeti: str) -> list[cases.Case]:
    """The cases for what needs a case of its own."""
    make, disks, blockdev = cases.make, cases.DISKS, ganeti == "3.1"
    odd = [
        make("incoming over IPv6", {}, incoming=["2001:db8::2", 8102]),
        make("incoming over IPv6 here", {}, incoming=["::1", 0]),
        make("VNC on IPv6 interface", {"vnc_bind_address": "eth6"}),
        make(
            "USB devices at spaces",
            {"usb_devices": "tablet keyboard"},
            difference="usb-list",
            stand_in={"tablet keyboard": "tablet,keyboard"},
            text={},
        ),
        make(
            "USB device of the node",
            {"usb_devices": "host:02e1:5612"},
            difference="usb-words",
            stand_in={"host:02e1:5612": "tablet"},
            text={
                "-usbdevice": "-device",
                "tablet": "usb-host,vendorid=0x02e1,productid=0x5612",
            },
        ),
        make("topology that does not fit", {"cpu_sockets": 3}, difference="topology", fails=True),
        make(
            "VNC socket",
            {"vnc_bind_address": "/var/run/vnc"},
            difference="vnc-folder",
            stand_in={"/var/run/vnc": "127.0.0.1"},
            text={"127.0.0.1:5105": "unix:/var/run/vnc/web1.example.com.vnc"},
        ),
        make(
            "VNC interface without address",
            {"vnc_bind_address": "eth0"},
            difference="vnc-interface",
            fails=True,
        ),
        make(
            "commas",
            {
                "cdrom_image_path": "/srv/a,b.iso",
                "cdrom_disk_type": "ide",
                "floppy_image_path": "/srv/c,d.img",
                "vnc_bind_address": "127.0.0.1",
                "vnc_tls": True,
                "vnc_x509_path": "/etc/pki/e,f",
            },
            disks=[{"template": "file", "link": "/srv/g,h"}],
            difference="comma",
            stand_in={f"{a},{b}": f"{a}COMMA{b}" for a, b in ("ab", "cd", "ef", "gh")},
            text={"COMMA": ",,", **({"ide-cd,": "ide-cd,bus=ide.1,unit=0,"} if blockdev else {})},
        ),
        make(
            "commas in images",
            {"cdrom_image_path": "/srv/a,b.iso", "floppy_image_path": "/srv/c,d.img"},
            difference="comma",
            stand_in={"a,b": "aCOMMAb", "c,d": "cCOMMAd"},
            text={"COMMA": ",,"},
        ),
        make(
            "comma in ciphers",
            {"spice_bind": "192.0.2.1", "spice_use_tls": True, "spice_tls_ciphers": "x,y"},
            difference="comma",
            stand_in={"x,y": "xCOMMAy"},
            text={"COMMA": ",,"},
        ),
        make(
            "commas that mean nothing to QEMU",
            {"kernel_path": "/boot/a,b", "initrd_path": "/boot/c,d", "mem_path": "/e,f"},
        ),
    ]
    if ganeti != "3.1":
        return odd
    names = {
        "template": "rbd",
        "link": cases.LINK,
        "access": "userspace",
        "uri": "rbd:vm-pool.ssd/Web_1-disk0",
    }
    return [
        *odd,
        make(
            "RBD names",
            {},
            disks=[names],
            difference="rbd-names",
            stand_in={"vm-pool.ssd": "pool", "Web_1": "web1"},
            text={"file.pool=pool": "file.pool=vm-pool.ssd", "=web1-d": "=Web_1-d"},
        ),
        make("unclosed quote", {"kvm_extra": "-x 'y"}, difference="unclosed-quote", fails=True),
        make("ftp CD-ROM", {"cdrom_image_path": "ftp://x.example/a", "cdrom_disk_type": "ide"}),
        make("started by 3.0", {}, up_hvparams={"disk_discard": "default"}, disks=[disks["plain"]]),
    ]
