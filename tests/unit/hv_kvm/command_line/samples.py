"""Instances and facts that the tests of the command line share."""

from __future__ import annotations

from functools import cache
from typing import Any

from ganeti import constants, objects

from ganeti_hv_kvm.hv_kvm import bus_manager, command_line
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.generation import BLOCKDEV, DRIVE, Dialect
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from harness import paths

DIALECTS = {"drive": DRIVE, "blockdev": BLOCKDEV}
QEMU = "/usr/bin/kvm"
NAME = "web1.example.com"
LINK = f"/run/links/{NAME}:0"
PATHS = command_line.Paths(
    pidfile="/run/pid",
    logfile="/log/qemu",
    monitor="/run/monitor",
    serial="/run/serial",
    qmp="/run/qmp",
    kvmd="/run/kvmd",
    guest_agent="/run/qga",
    chroot="/run/chroot",
    spice_cacert="/lib/spice-ca.pem",
    spice_cert="/lib/spice.pem",
)
# The defaults that Ganeti's versions do not agree on.
COMMON = {
    "disk_discard": "ignore",
    "vhost_net": False,
    "kvm_path": QEMU,
    "virtio_disk_iothreads": 0,
}


@cache
def facts(version: str = "7.2") -> QemuFacts:
    """The recorded answers of a real QEMU."""
    folder = paths.PROJECT / "tests/data/qemu" / version
    return QemuFacts.from_texts(
        QEMU,
        help_text=(folder / "help.txt").read_text(),
        machines=(folder / "machines.txt").read_text(),
        devices=(folder / "devices.txt").read_text(),
    )


def old_facts(help_text: str = "", devices_text: str = "") -> QemuFacts:
    """A QEMU that says no more than this."""
    return QemuFacts.from_texts(QEMU, help_text=help_text, devices=devices_text)


def parameters(**changes: Any) -> dict[str, Any]:
    """Ganeti's defaults without a kernel; then ``changes``. What boots follows from the kernel."""
    defaults = constants.HVC_DEFAULTS[constants.HT_KVM] | {"kernel_path": ""} | COMMON
    made: dict[str, Any] = defaults | changes
    if boot_type.PARAMETER and boot_type.PARAMETER not in changes:
        made[boot_type.PARAMETER] = boot_type.implied(made)
    return made


def instance(nics: int = 0, port: int | None = 11005, **hvparams: Any) -> Any:
    return objects.Instance(
        name=NAME,
        uuid="11111111-2222-4333-8444-555555555555",
        hvparams=parameters(**hvparams),
        beparams={constants.BE_MAXMEM: 1024, constants.BE_MINMEM: 512, constants.BE_VCPUS: 2},
        nics=[
            objects.NIC(
                mac=f"aa:00:00:11:22:{seq:02x}",
                uuid=f"0{seq}000000-1111-4222-8333-444444444444",
                nicparams={},
            )
            for seq in range(nics)
        ],
        network_port=port,
        disks=[],
    )


def disk(
    template: str = "plain",
    uri: str | None = None,
    seq: int = 0,
    mode: str = "rw",
    link: str = LINK,
) -> tuple[Any, str, str | None]:
    params = {constants.LDP_ACCESS: "userspace" if uri else "kernelspace"}
    uuid = f"d{seq}000000-1111-4222-8333-444444444444"
    return objects.Disk(dev_type=template, mode=mode, params=params, uuid=uuid), link, uri


def start(made: Any, **more: Any) -> command_line.StartRequest:
    return command_line.StartRequest(made, more.pop("facts", facts()), PATHS, **more)


def completion(made: Any, **more: Any) -> command_line.Completion:
    given = {"hvp": made.hvparams, "facts": facts(), "paths": PATHS} | more
    return command_line.Completion(instance=made, **given)


def whole(
    made: Any,
    disks: list[tuple[Any, str, str | None]],
    dialect: Dialect,
    fds: int = 1,
    vhost: bool = False,
    facts: QemuFacts | None = None,
    display: command_line.Display | None = None,
    startup_paused: bool = False,
    **more: Any,
) -> list[str]:
    """The whole command, as a launch puts it together."""
    qemu = facts or globals()["facts"]()
    request = start(
        made,
        facts=qemu,
        dialect=dialect,
        display=display or command_line.Display(),
        startup_paused=startup_paused,
    )
    found = [disk for disk, _, _ in disks]
    bus_manager.place_all(made.hvparams, found, made.nics, root_ports=request.is_q35)
    stored = command_line.build(request)
    nics = [
        command_line.AttachedNic(
            nic,
            range(10 * seq, 10 * seq + fds),
            range(10 * seq + fds, 10 * seq + 2 * fds) if vhost else (),
        )
        for seq, nic in enumerate(made.nics, 1)
    ]
    added = completion(made, facts=qemu, nics=nics, disks=disks, dialect=dialect, **more)
    return command_line.complete(stored, added)
