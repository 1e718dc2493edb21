"""The parameter sets that are compared: each value of each parameter, mixtures, odd ones.

A case is a dict: "id", "hvparams" (beyond the defaults), "disks", "nics", "startup_paused",
"incoming", "up_hvparams" (what the guest was first started with, where it differs),
"new_hvparams" (what was configured since), and for an odd one "difference" with "stand_in" and
"text" (see differences.py).
"""

from __future__ import annotations

import itertools
import random
from typing import Any

Case = dict[str, Any]

LINK = "/var/run/ganeti/instance-disks/web1.example.com:0"
DISKS = {
    "file": {"template": "file", "link": LINK},
    "sharedfile": {"template": "sharedfile", "link": LINK},
    "plain": {"template": "plain", "link": LINK},
    "drbd": {"template": "drbd", "link": LINK},
    "blockdev": {"template": "blockdev", "link": LINK},
    "ext": {"template": "ext", "link": LINK, "access": "kernelspace"},
    "rbd": {"template": "rbd", "link": LINK, "access": "kernelspace"},
    "rbd-userspace": {
        "template": "rbd",
        "link": LINK,
        "access": "userspace",
        "uri": "rbd:ganeti/0a1b-c.rbd.disk0",
    },
    "gluster": {"template": "gluster", "link": LINK, "access": "kernelspace"},
    "gluster-userspace": {
        "template": "gluster",
        "link": LINK,
        "access": "userspace",
        "uri": "gluster://192.0.2.9:24007/volume/ganeti/disk0",
    },
    "ext-userspace": {
        "template": "ext",
        "link": LINK,
        "access": "userspace",
        "uri": "rbd:extpool/image",
    },
    "ext-unknown-uri": {
        "template": "ext",
        "link": LINK,
        "access": "userspace",
        "uri": "iscsi://192.0.2.9/target/1",
    },
    "read-only": {"template": "plain", "link": LINK, "mode": "ro"},
}

# Parameters without a fixed set of values, and values beside those of the set.
VALUES: dict[str, list[Any]] = {
    "acpi": [True, False],
    "cdrom2_image_path": ["", "/srv/second.iso", "https://images.example.com/second.iso"],
    "cdrom_disk_type": [""],
    "cdrom_image_path": ["", "/srv/first.iso", "http://images.example.com/first.iso"],
    "cpu_cores": [0, 2],
    "cpu_mask": ["all", "0-1", "0:1"],
    "cpu_sockets": [0, 2],
    "cpu_threads": [0, 1],
    "cpu_type": ["", "host", "qemu64,+vmx,-svm"],
    "disk_aio": [""],
    "floppy_image_path": ["", "/srv/floppy.img"],
    "initrd_path": ["", "/boot/initrd.img"],
    "kernel_args": ["ro", "", "ro quiet panic=1,2"],
    "kernel_path": ["", "/boot/vmlinuz"],
    "keymap": ["", "fr"],
    "kvm_extra": [
        "",
        "-smbios type=1,serial=0",
        "-global a.b=c -S",
        " -no-hpet  -snapshot ",
        "-append \"two words\" -name 'x'",
    ],
    "kvm_flag": [""],
    "kvm_path": ["/usr/bin/kvm", "/usr/bin/qemu-system-x86_64"],
    "kvm_pci_reservations": [12, 0, 3, 20, 31, 32],
    "machine_version": ["", "pc-i440fx-7.2", "pc"],
    "mem_path": ["", "/dev/hugepages"],
    "migration_bandwidth": [32, 0, 1000],
    "migration_caps": ["", "xbzrle:auto-converge"],
    "migration_downtime": [30, 0, 2000],
    "migration_port": [8102, 4444],
    "root_path": ["/dev/vda1", "LABEL=root"],
    "security_domain": ["", "nobody"],
    "serial_console": [True, False],
    "soundhw": ["", "ac97", "hda", "ac97,es1370", "all"],
    "spice_bind": ["", "192.0.2.1", "2001:db8::1", "eth46", "eth4", "eth6", "eth0"],
    "spice_image_compression": [""],
    "spice_ip_version": [0, 4, 6],
    "spice_jpeg_wan_compression": [""],
    "spice_password_file": ["", "/etc/spice.password"],
    "spice_playback_compression": [True, False],
    "spice_streaming_video": [""],
    "spice_tls_ciphers": ["HIGH:-DES:-3DES:-EXPORT:-DH", "", "AES256-SHA"],
    "spice_use_tls": [True, False],
    "spice_use_vdagent": [True, False],
    "spice_zlib_glz_wan_compression": [""],
    "usb_devices": ["", "tablet", "mouse,keyboard", "tablet,,mouse,"],
    "usb_mouse": [""],
    "use_chroot": [True, False],
    "use_guest_agent": [True, False],
    "use_localtime": [True, False],
    "user_shutdown": [True, False],
    "vga": ["", "std", "qxl"],
    "vhost_net": [True, False],
    "virtio_net_queues": [1, 2, 8],
    "vnc_bind_address": ["", "0.0.0.0", "127.0.0.1", "::", "2001:db8::1", "eth46", "eth4"],
    "vnc_password_file": ["", "/etc/vnc.password"],
    "vnc_tls": [True, False],
    "vnc_x509_path": ["", "/etc/pki/vnc"],
    "vnc_x509_verify": [True, False],
    "vnet_hdr": [True, False],
}

# What must be set for a parameter to mean anything.
NEEDS: dict[str, dict[str, Any]] = {
    "spice_use_tls": {"spice_bind": "192.0.2.1"},
    "spice_tls_ciphers": {"spice_bind": "192.0.2.1", "spice_use_tls": True},
    "spice_ip_version": {"spice_bind": "eth46"},
    "vnc_x509_path": {"vnc_bind_address": "127.0.0.1", "vnc_tls": True},
    "vnc_x509_verify": {
        "vnc_bind_address": "127.0.0.1",
        "vnc_tls": True,
        "vnc_x509_path": "/etc/pki/vnc",
    },
    "vnc_tls": {"vnc_bind_address": "127.0.0.1"},
    "vnc_password_file": {"vnc_bind_address": "127.0.0.1"},
    "virtio_net_queues": {"vhost_net": True},
    "initrd_path": {"kernel_path": "/boot/vmlinuz"},
    "kernel_args": {"kernel_path": "/boot/vmlinuz"},
    "root_path": {"kernel_path": "/boot/vmlinuz"},
    "serial_speed": {"kernel_path": "/boot/vmlinuz"},
    "cdrom_disk_type": {"cdrom_image_path": "/srv/first.iso"},
    "scsi_controller_type": {"disk_type": "scsi-hd"},
}
NEEDS |= {
    name: {"spice_bind": "192.0.2.1"}
    for name in VALUES
    if name.startswith("spice_") and name not in NEEDS and name != "spice_bind"
}
NEEDED_BY_VALUE = {
    ("boot_order", "cdrom"): {"cdrom_image_path": "/srv/first.iso"},
    ("boot_order", "floppy"): {"floppy_image_path": "/srv/floppy.img"},
    ("security_model", "user"): {"security_domain": "nobody"},
    ("security_domain", "nobody"): {"security_model": "user"},
    ("disk_aio", "native"): {"disk_cache": "none"},
}


def make(name: str, hvparams: dict[str, Any], **more: Any) -> Case:
    """A case with one file disk, one NIC and no kernel, unless told otherwise."""
    case = {
        "id": name,
        "hvparams": {"kernel_path": "", "vhost_net": False} | hvparams,
        "disks": [DISKS["file"]],
        "nics": [{}],
        "startup_paused": False,
        "incoming": None,
        "up_hvparams": {},
        "new_hvparams": {},
    }
    return case | more


def allowed_values(description: dict[str, Any]) -> dict[str, list[Any]]:
    """Each parameter of a Ganeti version with all values of its set, or chosen ones."""
    sets = description["sets"]
    return {
        name: sorted({*VALUES.get(name, ()), *sets.get(name, ())}, key=str)
        for name in description["defaults"]
    }


def each_value(values: dict[str, list[Any]]) -> list[Case]:
    """One case for each value of each parameter."""
    return [
        make(
            f"{name}={value}",
            NEEDS.get(name, {}) | NEEDED_BY_VALUE.get((name, value), {}) | {name: value},
        )
        for name in values
        for value in values[name]
    ]


def with_devices() -> list[Case]:
    """Disks of each template on each kind of bus, several NICs, migrations, odd instances."""
    cases = [
        make(f"disk {kind} on {bus}", {"disk_type": bus}, disks=[DISKS[kind], DISKS["file"]])
        for kind, bus in itertools.product(DISKS, ("paravirtual", "scsi-hd", "ide"))
    ]
    cases += [
        make(f"cache {cache} of {kind}", {"disk_cache": cache}, disks=[DISKS[kind]])
        for cache, kind in itertools.product(
            ("default", "none", "writeback", "writethrough"), ("plain", "rbd", "sharedfile")
        )
    ]
    cases += [
        make("no devices", {}, disks=[], nics=[]),
        make("no disks, IDE", {"disk_type": "ide"}, disks=[]),
        make("two NICs", {"vhost_net": True, "virtio_net_queues": 4}, nics=[{}, {}]),
        make("named NIC", {}, nics=[{"name": "gnt.com.web1"}]),
        make("paused", {}, startup_paused=True),
        make("incoming", {}, incoming=["192.0.2.2", 8102]),
        make("incoming, paused", {"use_chroot": True}, incoming=["192.0.2.2", 4]),
        make("no VNC port", {"vnc_bind_address": "127.0.0.1"}, network_port=5900),
        make("low VNC port", {"vnc_bind_address": "127.0.0.1"}, network_port=80),
        make("memory", {}, beparams={"maxmem": 4096, "minmem": 512, "vcpus": 8}),
        make(
            "CD-ROM to start from, SCSI",
            {"boot_order": "cdrom", "cdrom_image_path": "/a.iso", "cdrom_disk_type": "scsi-cd"},
        ),
        make(
            "changed since",
            {"nic_type": "e1000"},
            new_hvparams={"keymap": "de", "nic_type": "rtl8139", "disk_cache": "none"},
            up_hvparams={"nic_type": "e1000", "disk_cache": "writeback"},
        ),
        make(
            "user and chroot",
            {"security_model": "user", "security_domain": "nobody", "use_chroot": True},
        ),
        make("q35", {"machine_version": "q35"}),
        make(
            "q35, more devices",
            {
                "machine_version": "pc-q35-7.2",
                "disk_type": "scsi-hd",
                "scsi_controller_type": "virtio-scsi-pci",
                "nic_type": "e1000",
                "use_guest_agent": True,
                "spice_bind": "192.0.2.1",
                "spice_use_vdagent": True,
            },
            disks=[DISKS["file"], DISKS["plain"]],
            nics=[{}, {}],
        ),
        make("pool and chroot", {"security_model": "pool", "use_chroot": True}),
    ]
    cases += [
        make(
            f"two CD-ROMs {cdrom}, disks {disk}, {controller}",
            {
                "cdrom_image_path": "/a.iso",
                "cdrom2_image_path": "/b.iso",
                "cdrom_disk_type": cdrom,
                "disk_type": disk,
                "scsi_controller_type": controller,
            },
        )
        for cdrom, disk, controller in (
            ("scsi-cd", "scsi-hd", "lsi"),
            ("scsi-cd", "scsi-block", "virtio-scsi-pci"),
            ("scsi-cd", "paravirtual", "megasas"),
            ("", "scsi-hd", "lsi"),
            ("ide", "scsi-hd", "lsi"),
            ("paravirtual", "ide", "lsi"),
        )
    ]
    return cases


def _consistent(hvparams: dict[str, Any]) -> dict[str, Any]:
    """Mends what Ganeti would not accept together."""
    if hvparams["disk_aio"] == "native":
        hvparams["disk_cache"] = "none"
    if hvparams["spice_bind"]:
        hvparams["vnc_bind_address"] = ""
    if hvparams["boot_order"] == "cdrom":
        hvparams["cdrom_image_path"] = hvparams["cdrom_image_path"] or "/srv/first.iso"
    if hvparams.get("cpu_cores") and hvparams.get("cpu_sockets"):
        hvparams["cpu_sockets"] = 0  # two vCPUs have no room for both
    if hvparams["vnc_x509_verify"]:
        hvparams["vnc_x509_path"] = "/etc/pki/vnc"
    hvparams["security_domain"] = "nobody" if hvparams["security_model"] == "user" else ""
    return hvparams


def mixtures(values: dict[str, list[Any]], count: int, seed: int = 20) -> list[Case]:
    """``count`` random mixtures of all parameters, the same ones each time."""
    chance = random.Random(seed)
    kinds = [kind for kind in DISKS if kind not in ("read-only", "ext-unknown-uri")]
    cases = []
    for number in range(count):
        # Changing all parameters at once mostly ends in an error; a third of them shows more.
        changed = chance.sample(sorted(values), len(values) // 3)
        chosen = {"boot_order": "disk", "disk_aio": "threads", "spice_bind": ""}
        chosen |= {"cdrom_image_path": "", "vnc_x509_verify": False, "security_model": "none"}
        chosen |= {name: chance.choice(values[name]) for name in changed}
        cases.append(
            make(
                f"mixture {number}",
                _consistent(chosen),
                disks=[DISKS[chance.choice(kinds)] for _ in range(chance.randint(0, 2))],
                nics=[{}] * chance.randint(0, 2),
                startup_paused=chance.random() < 0.2,
                incoming=["192.0.2.2", 8102] if chance.random() < 0.2 else None,
            )
        )
    return cases
