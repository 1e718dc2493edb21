"""What an administrator writes into usb_devices becomes what it meant, or is refused in words."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.command_line import peripherals, usb
from unit.hv_kvm.command_line import samples

QEMUS = ("7.2", "10.0")


def words(text: str, qemu: str = "7.2", **hvparams: object) -> list[str]:
    made = samples.instance(usb_devices=text, **hvparams)
    return peripherals.usb_devices(samples.start(made, facts=samples.facts(qemu)))


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("tablet,keyboard", ["tablet", "keyboard"]),
        ("tablet keyboard", ["tablet", "keyboard"]),
        (" tablet,\tkeyboard ,, mouse ", ["tablet", "keyboard", "mouse"]),
        ("", []),
        (" , ", []),
    ],
)
def test_spaces_and_commas_part_devices(text: str, listed: list[str]) -> None:
    assert usb.listed(text) == listed


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("host:02e1:5612", ["-device", "usb-host,vendorid=0x02e1,productid=0x5612"]),
        ("host:2E1:0x5612", ["-device", "usb-host,vendorid=0x02e1,productid=0x5612"]),
        ("host:1d6b:*", ["-device", "usb-host,vendorid=0x1d6b"]),
        ("host:1.12", ["-device", "usb-host,hostbus=1,hostaddr=12"]),
        ("host:001.002", ["-device", "usb-host,hostbus=1,hostaddr=2"]),
        ("ccid", ["-device", "usb-ccid"]),
        ("usb-ccid", ["-device", "usb-ccid"]),
        ("hub", ["-device", "usb-hub"]),
        ("usb-tablet", ["-device", "usb-tablet"]),
        ("u2f-passthru", ["-device", "u2f-passthru"]),
        (
            "disk:/srv/a.img",
            [
                "-blockdev",
                "driver=raw,node-name=usbdisk0,file.driver=file,file.filename=/srv/a.img",
                "-device",
                "usb-storage,drive=usbdisk0",
            ],
        ),
        (
            "disk:format=qcow2:/srv/a:b.img",
            [
                "-blockdev",
                "driver=qcow2,node-name=usbdisk0,file.driver=file,file.filename=/srv/a:b.img",
                "-device",
                "usb-storage,drive=usbdisk0",
            ],
        ),
        (
            "serial::/dev/ttyS0",
            [
                "-chardev",
                "serial,id=usbserial0,path=/dev/ttyS0",
                "-device",
                "usb-serial,chardev=usbserial0",
            ],
        ),
        (
            "serial:vendorid=0403:pty",
            ["-chardev", "pty,id=usbserial0", "-device", "usb-serial,chardev=usbserial0"],
        ),
        (
            "audio",
            ["-audiodev", "none,id=usbaudio0", "-device", "usb-audio,audiodev=usbaudio0"],
        ),
        ("tablet", ["-usbdevice", "tablet"]),
        ("braille", ["-usbdevice", "braille"]),
    ],
)
def test_what_usbdevice_said_is_said_with_device(
    word: str, arguments: list[str], qemu: str
) -> None:
    assert words(word, qemu) == arguments


def test_names_of_what_is_behind_devices_differ() -> None:
    said = words("disk:/a disk:/b")

    assert said[3] == "usb-storage,drive=usbdisk0"
    assert said[7] == "usb-storage,drive=usbdisk1"


def test_sound_goes_to_spice() -> None:
    assert words("audio", spice_bind="192.0.2.1")[1] == "spice,id=usbaudio0"


def test_braille_on_a_q35_has_what_it_needs() -> None:
    assert words("braille", machine_version="q35") == [
        "-chardev",
        "braille,id=usbbraille0",
        "-device",
        "usb-braille,chardev=usbbraille0",
    ]


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("host", "host:VENDOR:PRODUCT"),
        ("host:", "host:VENDOR:PRODUCT"),
        ("host:1.", "host:VENDOR:PRODUCT"),
        ("host:0.1", "host:VENDOR:PRODUCT"),
        ("host:12345:1", "host:VENDOR:PRODUCT"),
        ("host:auto:1.1", "host:VENDOR:PRODUCT"),
        ("net", "NIC"),
        ("net:vlan=0", "NIC"),
        ("bt", "Bluetooth"),
        ("bt:hci:null", "Bluetooth"),
        ("serial", "serial::pty"),
        ("serial::tcp:192.0.2.1:1", "serial::pty"),
        ("disk:", "disk:PATH"),
        ("disk:a.img", "disk:PATH"),
        ("disk:format=iso:/a", "disk:PATH"),
        ("storage", "disk:PATH"),
        ("usb-storage", "disk:PATH"),
        ("virtio-rng-pci", "no such USB device"),
        ("toaster", "no such USB device"),
        ("tablet:1", "no device is said like that"),
    ],
)
def test_what_nothing_can_be_made_of_is_refused_in_words(word: str, says: str, qemu: str) -> None:
    facts = samples.facts(qemu)

    assert says in str(usb.problem(word, facts, plain=True))
    with pytest.raises(errors.HypervisorError, match="usb_devices: ") as caught:
        words(f"tablet {word}", qemu)
    assert says in str(caught.value)
    assert repr(word) in str(caught.value)
