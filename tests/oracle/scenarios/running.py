"""Faults of what is done to a guest that runs: reboot, ballooning, its own shutdown."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from harness import console, guest, instance, kvmd, node
from oracle import guests
from oracle.place import Place, error_of, expect, fault_in, is_alive, kill, wait_until

# A guest that has something to write to its disks before it goes.
_SLOW_SHUTDOWN = (
    r"printf '#!/bin/sh\nsleep 1\necho all is written >/dev/console\npoweroff -f\n'"
    " >/etc/acpi/PWRF/00000080; echo prepared"
)


@fault_in("3.0", "3.1")
def a_soft_reboot_lets_the_guest_shut_down(place: Place) -> None:
    made = guests.start(place, paused=False)
    with console.SerialConsole(place.node.socket(guests.NAME, "serial")) as serial:
        serial.wait_for(guest.STATUS_LINE.search, guests.BOOT_TIMEOUT)
        serial.send(_SLOW_SHUTDOWN)
        serial.wait_for("prepared".__eq__, 10)
        place.node.hypervisor().RebootInstance(made)
        # what QEMU passed on before it ended is still there to be read
        missing = error_of(lambda: serial.wait_for("all is written".__eq__, 5))
    expect(missing is None, f"the guest had no time to shut down: {missing}")
    expect(is_alive(guests.pid_of(place)), "the guest did not come back")


@fault_in("3.0")
def a_balloon_that_nobody_heard_of_is_an_error(place: Place) -> None:
    made = guests.start(place, instance.instance(guests.NAME, memory=256, minimum_memory=128))
    with guests.hung(guests.pid_of(place)):
        error = error_of(lambda: place.node.hypervisor().BalloonInstanceMemory(made, 192))
    expect(error is not None, "the hung QEMU was asked to balloon, with success")


@fault_in("3.0", "3.1")
def a_balloon_is_there_when_the_call_returns(place: Place) -> None:
    made = instance.instance(guests.NAME, memory=256, minimum_memory=128)
    guests.start(place, made, paused=False)
    guests.wait_until_up(place)
    place.node.hypervisor().BalloonInstanceMemory(made, 160)
    with guests.RawMonitor(place) as monitor:
        actual = monitor.execute("query-balloon")["actual"] >> 20
    expect(actual == 160, f"160 MiB were asked for, and the guest has {actual} MiB")


@fault_in("3.0", "3.1")
def each_shutdown_by_a_user_is_noticed(place: Place) -> None:
    # kvmd is faster than QEMU in about every third start
    names = [f"guest{number}" for number in range(16)]
    with kvmd.can_run(place.node.root):
        for name in names:
            guests.start(place, instance.instance(name, user_shutdown=True, kernel_path=""))
        time.sleep(2)  # whoever is to connect has connected
        for name in names:
            # a QEMU that ends without having been asked by Ganeti
            kill(guests.pid_of(place, name), signal.SIGTERM)
        files = [place.node.run_folder / "ctrl" / f"{name}.shutdown" for name in names]
        error_of(lambda: wait_until(lambda: all(file.exists() for file in files), 8, "kvmd"))
        missed = [file.name for file in files if not file.exists()]
    expect(not missed, f"kvmd missed {len(missed)} of {len(files)}: {missed}")


@fault_in("3.0", "3.1")
def a_guest_with_a_dirty_chroot_reboots(place: Place) -> None:
    made = instance.instance(guests.NAME, use_chroot=True)
    guests.start(place, made)
    chroot = place.node.run_folder / "chroot" / guests.NAME
    (chroot / "left by an intruder").touch()
    place.node.hypervisor().RebootInstance(made)
    kept = os.listdir(place.node.run_folder / "chroot-quarantine")
    expect(kept and not os.listdir(chroot), "the new QEMU got the intruder's files")


@fault_in("3.0", "3.1")
def the_spice_password_is_in_no_log(place: Place) -> None:
    # SPICE finds its own address only on a host that has one beside the loopback's
    node.make_bridge()
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", node.BRIDGE], check=True)
    secret = place.node.root / "password"
    secret.write_text("hunter2\n")
    made = instance.instance(
        guests.NAME, spice_bind="127.0.0.1", spice_password_file=str(secret), vga="std"
    )
    made.network_port = 5913
    guests.start(place, made)
    found = [text for text in place.log.texts if "hunter2" in text]
    expect(not found, f"it is in: {found}")
