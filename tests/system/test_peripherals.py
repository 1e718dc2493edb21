"""What is plugged into the guest, as the running QEMU tells it over QMP."""

from __future__ import annotations

import http.server
import os
import re
import threading
from pathlib import Path

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from harness import guest, instance, paths
from harness.console import SerialConsole

pytestmark = [pytest.mark.rather_3_1, pytest.mark.one_in(2)]

NAME = "web1.example.com"
PORT = 5912
BOOT_TIMEOUT = 90.0
IMAGE_BYTES = 64 * 2048


@pytest.fixture(params=[paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def qemu(request):
    return str(request.param)


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "image.iso"
    file.write_bytes(bytes(IMAGE_BYTES))
    return str(file)


def start(hypervisor, *, paused=True, disks=(), **parameters):
    made = instance.instance(NAME, disks=disks, **parameters)
    made.network_port = PORT
    hypervisor.StartInstance(made, list(disks), paused)


def ask(hypervisor, command: str, **arguments):
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command, arguments)


def device_types(hypervisor) -> set[str]:
    """The types of all devices, whether they have an id or not."""
    found = set()
    for folder in ("/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"):
        members = ask(hypervisor, "qom-list", path=folder)
        found |= {member["type"] for member in members}
    return {kind.removeprefix("child<").removesuffix(">") for kind in found}


def drives(hypervisor) -> dict[str, str]:
    """The file in each drive, by the path of its device."""
    return {
        drive.get("qdev") or drive["device"]: drive["inserted"]["file"]
        for drive in ask(hypervisor, "query-block")
        if "inserted" in drive
    }


def chardevs(hypervisor) -> dict[str, str]:
    return {dev["label"]: dev["filename"] for dev in ask(hypervisor, "query-chardev")}


@pytest.mark.parametrize(
    ("parameters", "device"),
    [
        ({"usb_mouse": "mouse"}, "usb-mouse"),
        ({"usb_mouse": "tablet"}, "usb-tablet"),
        ({"usb_devices": "keyboard,wacom-tablet"}, "usb-kbd"),
        ({"usb_devices": "keyboard,wacom-tablet"}, "usb-wacom-tablet"),
        ({"vnc_bind_address": "127.0.0.1"}, "usb-tablet"),
        ({"vga": "std"}, "VGA"),
        ({"vga": "cirrus"}, "cirrus-vga"),
        ({"soundhw": "ac97"}, "AC97"),
        ({"soundhw": "hda"}, "intel-hda"),
        ({"disk_type": "scsi-hd", "scsi_controller_type": "megasas"}, "megasas"),
        ({"use_guest_agent": True}, "virtserialport"),
        ({"kvm_extra": "-device virtio-rng-pci"}, "virtio-rng-pci"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_devices(hypervisor, qemu, parameters, device):
    start(hypervisor, kvm_path=qemu, **parameters)
    assert device in device_types(hypervisor)


def test_no_device_but_the_balloon(hypervisor, qemu):
    start(hypervisor, kvm_path=qemu)
    ours = {
        member["type"] for member in ask(hypervisor, "qom-list", path="/machine/peripheral-anon")
    }
    assert {kind for kind in ours if kind.startswith("child<")} == {"child<virtio-balloon-pci>"}


def test_two_cdroms_and_a_floppy(hypervisor, qemu, image, tmp_path):
    floppy = tmp_path / "floppy.img"
    floppy.write_bytes(bytes(1440 * 1024))
    start(
        hypervisor,
        kvm_path=qemu,
        cdrom_image_path=image,
        cdrom2_image_path=image,
        cdrom_disk_type="ide",
        floppy_image_path=str(floppy),
        kernel_path="",
        boot_order="cdrom",
    )
    files = sorted(drives(hypervisor).values())
    assert files == sorted([image, image, str(floppy)])


def test_a_scsi_cdrom_beside_scsi_disks(hypervisor, qemu, image, tmp_path):
    disks = [instance.disk(tmp_path, index) for index in range(2)]
    start(
        hypervisor,
        kvm_path=qemu,
        disks=disks,
        disk_type="scsi-hd",
        cdrom_disk_type="scsi-cd",
        cdrom_image_path=image,
    )
    assert {"scsi-hd", "scsi-cd"} <= device_types(hypervisor)
    assert sorted(drives(hypervisor).values()) == sorted([image, *(path for _, path, _ in disks)])


class Range(http.server.SimpleHTTPRequestHandler):
    """Serves one file, in parts as QEMU reads it."""

    def log_message(self, *_args):
        pass

    def do_GET(self):
        content = bytes(IMAGE_BYTES)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)?", self.headers.get("Range", "bytes=0-"))
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        part = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(IMAGE_BYTES))
        self.end_headers()


@pytest.fixture
def url():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Range) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/image.iso"
        server.shutdown()
        thread.join()


# Debian has QEMU's driver for URLs in a package of its own; QEMU 7.2 is installed without it.
DRIVER = "usr/lib/x86_64-linux-gnu/qemu/block-curl.so"


def test_a_cdrom_from_a_url(hypervisor, url):
    assert (paths.QEMU_10.parent / DRIVER).exists()
    start(hypervisor, kvm_path=str(paths.QEMU_10), cdrom_image_path=url, cdrom_disk_type="ide")
    assert url in drives(hypervisor).values()


def test_a_qemu_that_lacks_the_driver_for_urls(hypervisor, url, nothing_left):
    if Path("/", DRIVER).exists():
        pytest.skip("this machine's QEMU has the driver for URLs")
    with pytest.raises(errors.HypervisorError, match=r"(?i)unknown (protocol|driver) 'http'"):
        start(hypervisor, cdrom_image_path=url, cdrom_disk_type="ide")
    nothing_left()


def test_a_cdrom_from_a_url_where_nothing_is(hypervisor, nothing_left):
    with pytest.raises(errors.HypervisorError, match=r"127\.0\.0\.1:9"):
        start(hypervisor, cdrom_image_path="http://127.0.0.1:9/image.iso")
    nothing_left()


def test_the_kernel_boots_with_its_arguments_and_root(hypervisor, qemu):
    start(
        hypervisor, kvm_path=qemu, paused=False, root_path="/dev/vda7", kernel_args="ro quiet x=y"
    )
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
        serial.send("cat /proc/cmdline")
        line = serial.wait_for(lambda text: text.startswith("root="), 10)
    assert line == "root=/dev/vda7 ro quiet x=y console=ttyS0,38400"


def test_the_guest_agents_channel(hypervisor, qemu):
    start(hypervisor, kvm_path=qemu, use_guest_agent=True)
    socket = hypervisor._InstanceQemuGuestAgentMonitor(NAME)
    assert socket in chardevs(hypervisor)["qga0"]
    assert os.path.exists(socket)
    (port,) = [
        f"/machine/peripheral-anon/{member['name']}"
        for member in ask(hypervisor, "qom-list", path="/machine/peripheral-anon")
        if member["type"] == "child<virtserialport>"
    ]
    assert ask(hypervisor, "qom-get", path=port, property="name") == "org.qemu.guest_agent.0"


def test_without_a_serial_console(hypervisor, qemu):
    start(hypervisor, kvm_path=qemu, serial_console=False)
    assert not any(label.startswith("serial") for label in chardevs(hypervisor))
