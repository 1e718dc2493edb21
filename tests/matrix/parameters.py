"""The dimensions of the matrix: what an operator sets, in values that mean something.

A value is what it changes: ``hvparams``, and what is no parameter of the hypervisor: ``disks``,
``nics``, ``vcpus``, ``paused``. ``{folder}`` in a text is the folder with images and passwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrix.pairwise import Row, cover

Value = Mapping[str, Any]


def _of(name: str, *values: object) -> dict[str, Value]:
    """The values of one parameter; a label is the value itself."""
    return {str(value): {"hvparams": {name: value}} for value in values}


_CD = "{folder}/first.iso"
_CD2 = "{folder}/second.iso"
_FLOPPY = "{folder}/floppy.img"
_VNC = {"vnc_bind_address": "127.0.0.1"}
_SPICE = {"spice_bind": "127.0.0.1"}

# The first value is what a cluster has whose administrator set nothing.
DIMENSIONS: dict[str, dict[str, Value]] = {
    "machine_version": _of("machine_version", "", "pc", "q35", "pc-i440fx-7.2"),
    "disk_type": _of("disk_type", "paravirtual", "ide", "scsi-hd"),
    "scsi_controller_type": _of("scsi_controller_type", "lsi", "megasas", "virtio-scsi-pci"),
    "disks": {"one": {"disks": 1}, "two": {"disks": 2}, "none": {"disks": 0}},
    "disk_cache": _of("disk_cache", "default", "none", "writeback", "writethrough"),
    "disk_aio": _of("disk_aio", "threads", "", "native"),
    "disk_discard": _of("disk_discard", "ignore", "unmap"),
    "nic_type": _of(
        "nic_type",
        *("paravirtual", "e1000", "rtl8139", "pcnet"),
        *("i82551", "i82557b", "i82559er", "ne2k_pci", "ne2k_isa"),
    ),
    "nics": {"one": {"nics": 1}, "three": {"nics": 3}, "none": {"nics": 0}},
    "virtio_net_queues": {
        "one": {},
        "two": {"hvparams": {"virtio_net_queues": 2}, "vcpus": 2},
    },
    "cdrom": {
        "none": {},
        "one": {"hvparams": {"cdrom_image_path": _CD}},
        "two": {"hvparams": {"cdrom_image_path": _CD, "cdrom2_image_path": _CD2}},
        "the second": {"hvparams": {"cdrom2_image_path": _CD2}},
    },
    "cdrom_disk_type": _of("cdrom_disk_type", "", "ide", "paravirtual", "scsi-cd"),
    "floppy": {"none": {}, "one": {"hvparams": {"floppy_image_path": _FLOPPY}}},
    "boot_order": _of("boot_order", "disk", "cdrom", "network", "floppy"),
    "kernel": {
        "none": {"hvparams": {"kernel_path": "", "initrd_path": ""}},
        "of the node": {},
    },
    "cpu": {
        "one": {},
        "two sockets": {
            "vcpus": 2,
            "hvparams": {"cpu_sockets": 2, "cpu_cores": 1, "cpu_threads": 1},
        },
        "two cores": {"vcpus": 2, "hvparams": {"cpu_cores": 2}},
        "four of a model": {"vcpus": 4, "hvparams": {"cpu_type": "qemu64,+ssse3,-svm"}},
    },
    "vga": _of("vga", "", "std", "cirrus", "qxl", "virtio", "vmware", "none"),
    "display": {
        "none": {},
        "VNC": {"hvparams": _VNC},
        "VNC, password": {"hvparams": _VNC | {"vnc_password_file": "{folder}/password"}},
        "VNC, TLS": {"hvparams": _VNC | {"vnc_tls": True}},
        "VNC, socket": {"hvparams": {"vnc_bind_address": "{folder}"}},
        "SPICE": {"hvparams": _SPICE},
        "SPICE, password": {"hvparams": _SPICE | {"spice_password_file": "{folder}/password"}},
        "SPICE, agent off": {
            "hvparams": _SPICE | {"spice_use_vdagent": False, "spice_playback_compression": False}
        },
    },
    "keymap": _of("keymap", "", "de"),
    "usb_mouse": _of("usb_mouse", "", "tablet", "mouse"),
    "usb_devices": _of(
        "usb_devices", "", "tablet", "keyboard,mouse", "wacom-tablet tablet", "host:02e1:5612"
    ),
    "soundhw": _of("soundhw", "", "hda", "ac97", "es1370", "sb16"),
    "security_model": {
        "none": {},
        "user": {"hvparams": {"security_model": "user", "security_domain": "nobody"}},
        "pool": {"hvparams": {"security_model": "pool"}},
    },
    "use_chroot": _of("use_chroot", False, True),
    "use_guest_agent": _of("use_guest_agent", False, True),
    "serial_console": _of("serial_console", True, False),
    "acpi": _of("acpi", True, False),
    "use_localtime": _of("use_localtime", False, True),
    "reboot_behavior": _of("reboot_behavior", "reboot", "exit"),
    "vnet_hdr": _of("vnet_hdr", True, False),
    "paused": {"no": {}, "yes": {"paused": True}},
    "kvm_extra": _of(
        "kvm_extra",
        "",
        "-smbios type=1,serial=ABC -boot menu=on,splash-time=500",
        "-device virtio-rng-pci,bus=pci.0,addr=0x1e",
        "-device virtio-rng-pci",
        "-device i6300esb -action watchdog=reset",
        "-global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1",
        "-m 256,slots=2,maxmem=1G",
        "-rtc base=utc,driftfix=slew",
        "-object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0",
    ),
}

# A value by itself, on a guest that is like all others: what nobody can start would hide the rest.
ALONE: dict[str, dict[str, Value]] = {
    "disk_type": _of("disk_type", "sd", "mtd", "pflash", "scsi", "scsi-cd"),
    "cdrom_disk_type": {
        kind: {"hvparams": {"cdrom_image_path": _CD, "cdrom_disk_type": kind}}
        for kind in ("sd", "mtd", "pflash", "scsi", "scsi-hd", "scsi-block", "scsi-generic")
    },
    "disk_discard": _of("disk_discard", "default", ""),
    "disk_aio": {
        "io_uring": {"hvparams": {"disk_aio": "io_uring"}},
        "native, cache none": {"hvparams": {"disk_aio": "native", "disk_cache": "none"}},
    },
    "machine_version": _of("machine_version", "pc-q35-7.2", "isapc", "microvm", "none", "pc-9"),
    "usb_devices": _of(
        "usb_devices",
        *("host:1.1", "host:1.", "host:02e1:*", "host:auto:1.1", "host:zz:1", "host:", "host"),
        *("tablet keyboard", "tablet, keyboard", " tablet  mouse ", "braille", "ccid", "serial"),
        *("serial::pty", "serial:/dev/null", "serial::tcp:h:1", "disk:{folder}/stick.img"),
        *("disk:format=raw:{folder}/stick.img", "disk:", "net", "net:vlan=0", "bt", "bt:hci,null"),
        *("hub", "audio", "usb-tablet", "usb-kbd", "usb-storage", "usb-serial", "no-such-thing"),
        *("disk:/nowhere/stick.img", "virtio-rng-pci", "usb-mtp", "u2f-passthru"),
    ),
    "soundhw": _of(
        "soundhw", "all", "ac97,es1370", "adlib", "cs4231a", "gus", "pcspk", "no-such-card"
    ),
    "vga": _of("vga", "xenfb", "tcx", "cg3", "no-such-card"),
    "keymap": {
        layout: {"hvparams": {"keymap": layout, **_VNC}} for layout in ("en-us", "no-such-layout")
    },
    "cpu_type": _of("cpu_type", "host", "max", "no-such-model", "qemu64,+no-such-flag"),
    "cpu": {
        "topology that does not fit": {"vcpus": 4, "hvparams": {"cpu_sockets": 3}},
        "topology of fewer": {
            "vcpus": 4,
            "hvparams": {"cpu_sockets": 1, "cpu_cores": 1, "cpu_threads": 1},
        },
        "more than the machine has": {"vcpus": 300},
    },
    "kvm_extra": _of(
        "kvm_extra",
        *("-cpu qemu64", "-no-hpet", "-name other", "-smp cpus=1,maxcpus=4", "-m 192M"),
        *("-device virtio-rng-pci,bus=pci.0,addr=0x0c", "-balloon virtio", "-enable-kvm"),
        *("-usbdevice tablet", "-soundhw ac97", "-device qemu-xhci -device usb-tablet", "-no-acpi"),
        *("-vnc :7", "-nodefaults", "-no-such-switch", '-append "a b"', "-S", "-snapshot"),
        "-fw_cfg name=opt/com.example/key,string=value",
        "-device pci-bridge,id=bridge0,chassis_nr=1 -device virtio-rng-pci,bus=bridge0,addr=1",
        "-drive file={folder}/first.iso,media=cdrom,format=raw",
        "-drive file={folder}/stick.img,if=virtio,format=raw",
        "-netdev user,id=extra0 -device e1000,netdev=extra0",
        "-global kvm-pit.lost_tick_policy=discard",
        "-machine kernel_irqchip=off",
        "-watchdog i6300esb",
        "-chardev null,id=c0 -device isa-serial,chardev=c0",
    ),
    "disks": {
        f"{count} on {kind} {controller}": {
            "disks": count,
            "hvparams": {"disk_type": kind, "scsi_controller_type": controller},
        }
        for count, kind, controller in (
            *((4, "ide", "lsi"), (5, "ide", "lsi"), (16, "paravirtual", "lsi")),
            *((count, "scsi-hd", "lsi") for count in (8, 9, 16)),
            *((16, "scsi-hd", controller) for controller in ("megasas", "virtio-scsi-pci")),
        )
    },
    "CD-ROMs on lsi": {
        f"{count} disks": {
            "disks": count,
            "hvparams": {
                "disk_type": "scsi-hd",
                "cdrom_image_path": _CD,
                "cdrom2_image_path": _CD2,
                "cdrom_disk_type": kind,
            },
        }
        for count, kind in ((6, "scsi-cd"), (7, "scsi-cd"), (5, ""))
    },
    "nics": {
        f"{count} {kind}": {"nics": count, "hvparams": {"nic_type": kind}}
        for count, kind in ((8, "paravirtual"), (8, "e1000"), (6, "ne2k_isa"), (7, "ne2k_isa"))
    },
    "mem_path": _of("mem_path", "{folder}"),
    "virtio_net_queues": _of("virtio_net_queues", 4, 8),
    "kvm_pci_reservations": _of("kvm_pci_reservations", 0, 3, 20, 30, 31, 32),
}

# What never stands in one row, as either Ganeti or ours refuses it in words (ALONE has each once).
_NEVER = (
    {"disk_aio": {"native"}, "disk_cache": {"default", "writeback", "writethrough"}},
    {"boot_order": {"cdrom"}, "cdrom": {"none", "the second"}},
    {"boot_order": {"floppy"}, "floppy": {"none"}},
    {"machine_version": {"q35"}, "disk_type": {"ide"}},
    {"machine_version": {"q35"}, "floppy": {"one"}},
    {"machine_version": {"q35"}, "boot_order": {"floppy"}},
    {"machine_version": {"q35"}, "nic_type": {"ne2k_isa"}},
    {"machine_version": {"q35"}, "soundhw": {"es1370", "sb16"}},
    {"machine_version": {"q35"}, "cdrom_disk_type": {"paravirtual"}},
    {"machine_version": {"q35"}, "kvm_extra": {"-device virtio-rng-pci,bus=pci.0,addr=0x1e"}},
    # two counts of vCPUs
    {"virtio_net_queues": {"two"}, "cpu": {"one", "four of a model"}},
)


def allowed(row: Row) -> bool:
    """Whether these values may stand together."""
    return not any(all(row.get(name) in labels for name, labels in pair.items()) for pair in _NEVER)


Case = dict[str, Any]


def make(name: str, *values: Value) -> Case:
    """A case: its name, and what its values change."""
    case: Case = {"id": name, "disks": 1, "nics": 1, "vcpus": 1, "paused": False, "hvparams": {}}
    for value in values:
        case |= {key: value[key] for key in value if key != "hvparams"}
        case["hvparams"] = case["hvparams"] | value.get("hvparams", {})
    return case


def alone() -> list[Case]:
    """Each value by itself."""
    return [
        make(f"{name}={label}", value)
        for table in (DIMENSIONS, ALONE)
        for name, values in table.items()
        for label, value in values.items()
    ]


def in_pairs() -> list[Case]:
    """The pairwise cover."""
    labels = {name: list(values) for name, values in DIMENSIONS.items()}
    rows = cover(labels, allowed)
    first = {name: values[0] for name, values in labels.items()}
    return [
        make(
            "; ".join(f"{name}={label}" for name, label in row.items() if label != first[name]),
            *(DIMENSIONS[name][label] for name, label in row.items()),
        )
        for row in rows
    ]
