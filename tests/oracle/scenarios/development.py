"""What upstream's development version asks of a hypervisor module, on 3.1 with its features."""

from __future__ import annotations

from pathlib import Path

from harness import guest, instance
from harness.console import SerialConsole
from harness.node import make_bridge
from oracle import guests
from oracle.place import Place, error_of, expect, fault_in, is_alive, wait_until


def _replace_script(*lines: str) -> None:
    """Put a script in the place of the node's own for NICs."""
    from ganeti import pathutils

    Path(pathutils.KVM_NIC_SETUP).write_text("\n".join(["#!/bin/bash", *lines, ""]))


def _watch_scripts(place: Place, *, fails_for: str = "none") -> Path:
    """Let the network script write down what it is told; it fails for one NIC's number."""
    seen = place.node.root / "seen"
    seen.touch()
    _replace_script(
        'echo "$ACTION $1 $INTERFACE_INDEX $INSTANCE $MODE tags=$TAGS'
        f' phase=$MIGRATION_PHASE" >>{seen}',
        f'[ "$ACTION $INTERFACE_INDEX" != "up {fails_for}" ]',
    )
    return seen


def _two_nics() -> object:
    made = instance.instance(guests.NAME, nics=[instance.nic(0), instance.nic(1)])
    made.tags = {"blue"}
    return made


def _downs(seen: Path) -> list[str]:
    return [line for line in seen.read_text().splitlines() if line.startswith("down ")]


def _expect_both_down(seen: Path) -> None:
    wanted = [
        f"down tap{index} {index} {guests.NAME} bridged tags=blue phase=" for index in range(2)
    ]
    expect(sorted(_downs(seen)) == wanted, f"the script was told: {seen.read_text()}")


@fault_in()
def the_script_is_told_what_it_is_for(place: Place) -> None:
    seen = _watch_scripts(place)
    guests.start(place, _two_nics())
    lines = seen.read_text().splitlines()
    expect([line.split()[0] for line in lines] == ["up", "up"], f"it was told: {lines}")


@fault_in()
def a_forced_stop_undoes_the_nics_once(place: Place) -> None:
    seen = _watch_scripts(place)
    made = guests.start(place, _two_nics())
    place.node.hypervisor().StopInstance(made, force=True)
    _expect_both_down(seen)
    place.node.hypervisor().CleanupInstance(guests.NAME)
    _expect_both_down(seen)


@fault_in()
def a_power_down_request_undoes_nothing_until_the_guest_is_gone(place: Place) -> None:
    seen = _watch_scripts(place)
    made = guests.start(place, _two_nics(), paused=False)
    hypervisor = place.node.hypervisor()
    pid = guests.pid_of(place)
    with SerialConsole(place.node.socket(guests.NAME, "serial")) as serial:
        serial.wait_for(guest.STATUS_LINE.search, guests.BOOT_TIMEOUT)
        serial.send("rm /etc/acpi/PWRF/00000080; echo deaf")
        serial.wait_for("deaf".__eq__, 10)
        for _ in range(3):
            hypervisor.StopInstance(made, retry=True, timeout=60)
        expect(not _downs(seen), f"the guest runs, but the script was told: {_downs(seen)}")
        serial.send("poweroff -f")
        wait_until(lambda: not is_alive(pid), 30, "the end of QEMU")
    hypervisor.CleanupInstance(guests.NAME)
    _expect_both_down(seen)


@fault_in()
def a_failed_start_undoes_its_nics(place: Place) -> None:
    seen = _watch_scripts(place, fails_for="1")
    error = error_of(lambda: guests.start(place, _two_nics()))
    expect(error is not None, "the start succeeded")
    _expect_both_down(seen)


@fault_in()
def a_reboot_undoes_the_nics_before_it_sets_them_up_again(place: Place) -> None:
    seen = _watch_scripts(place)
    make_bridge()  # without it the reboot is refused
    made = guests.start(place, _two_nics())
    place.node.hypervisor().RebootInstance(made)
    actions = [line.split()[0] for line in seen.read_text().splitlines()]
    expect(actions == ["up", "up", "down", "down", "up", "up"], f"it was told: {actions}")


@fault_in()
def a_stop_without_a_runtime_file_works(place: Place) -> None:
    _watch_scripts(place)
    made = guests.start(place, _two_nics())
    pid = guests.pid_of(place)
    (place.node.run_folder / "conf" / f"{guests.NAME}.runtime").unlink()
    hypervisor = place.node.hypervisor()
    for stop in (
        lambda: hypervisor.StopInstance(made),
        lambda: hypervisor.StopInstance(None, force=True, name=guests.NAME),
        lambda: hypervisor.CleanupInstance(guests.NAME),
    ):
        error = error_of(stop)
        expect(error is None, f"{type(error).__name__}: {error}")
    expect(not is_alive(pid), "QEMU still runs")


@fault_in()
def a_script_that_fails_when_a_nic_goes_keeps_nothing_from_going(place: Place) -> None:
    _watch_scripts(place)
    made = guests.start(place, _two_nics())
    _replace_script("echo no such road", "exit 1")
    hypervisor = place.node.hypervisor()
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(guests.NAME)
    expect(not hypervisor.ListInstances(), "it still runs")
    said = [text for text in place.log.texts if "tap1" in text and "no such road" in text]
    expect(said, "the log does not tell of it")


@fault_in()
def threads_have_names_and_disks_say_that_they_boot(place: Place) -> None:
    disks = [instance.disk(place.node.root, index) for index in range(2)]
    made = instance.instance(guests.NAME, disks=disks, kernel_path="", boot_order="disk")
    place.node.hypervisor().StartInstance(made, disks, True)
    process = Path(f"/proc/{guests.pid_of(place)}")
    names = {(thread / "comm").read_text().strip() for thread in (process / "task").iterdir()}
    expect(any(name.startswith("CPU 0") for name in names), f"the threads are {names}")
    words = (process / "cmdline").read_text().split("\0")
    expect("-boot" not in words, f"-boot is among {words}")
    with guests.RawMonitor(place) as monitor:
        found = [
            monitor.execute("qom-get", path=f"/machine/peripheral/{disk.hvinfo['id']}",
                            property="bootindex")
            for disk, _, _ in disks
        ]  # fmt: skip
    expect(found == [1, -1], f"bootindex of the disks: {found}")


@fault_in()
def a_nic_of_mode_ext_starts_like_any_other(place: Place) -> None:
    from ganeti import constants

    seen = _watch_scripts(place)
    nic = instance.nic()
    nic.nicparams[constants.NIC_MODE] = constants.NIC_MODE_EXT
    guests.start(place, instance.instance(guests.NAME, nics=[nic]))
    lines = seen.read_text().splitlines()
    expect(lines == [f"up tap0 0 {guests.NAME} ext tags= phase="], f"it was told: {lines}")


@fault_in()
def a_nic_that_comes_and_goes_is_told_to_the_network(place: Place) -> None:
    seen = _watch_scripts(place)
    made = guests.start(place, _two_nics(), paused=False)
    guests.wait_until_up(place)
    told, nic = len(seen.read_text().splitlines()), instance.nic(2)
    hypervisor = place.node.hypervisor()
    hypervisor.HotAddDevice(made, "nic", nic, None, 2)
    hypervisor.HotDelDevice(made, "nic", nic, None, 2)
    about = f"tap2 2 {guests.NAME} bridged tags=blue phase="
    lines = seen.read_text().splitlines()[told:]
    expect(lines == [f"up {about}", f"down {about}"], f"it was told: {lines}")
