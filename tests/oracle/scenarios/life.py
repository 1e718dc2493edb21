"""Faults of listing, stopping and cleaning up."""

from __future__ import annotations

import os
import signal
import time

from harness import instance, leftovers
from oracle import guests
from oracle.place import (
    Place,
    error_of,
    expect,
    expect_hypervisor_error,
    fault_in,
    is_alive,
    kill,
    seconds_of,
    wait_until,
)

_MIB = 1024 * 1024


def _start_several(place: Place, count: int) -> list[int]:
    names = [f"guest{number}.example.com" for number in range(count)]
    for name in names:
        guests.start(place, instance.instance(name, memory=64))
    return [guests.pid_of(place, name) for name in names]


@fault_in("3.0", "3.1")
def hung_guests_cost_a_listing_one_deadline(place: Place) -> None:
    pids = _start_several(place, 3)
    with guests.hung(*pids):
        listed: list[object] = []
        start = time.monotonic()
        listed += place.node.hypervisor().GetAllInstancesInfo()
        seconds = time.monotonic() - start
    expect(len(listed) == 3, f"listed only {listed}")
    expect(seconds < 7, f"listing three hung guests took {seconds:.1f} s")


@fault_in("3.1")
def repeated_listings_of_a_hung_guest_work(place: Place) -> None:
    pids = _start_several(place, 1)
    with guests.hung(*pids):
        for number in range(4):
            error = error_of(lambda: place.node.hypervisor().GetAllInstancesInfo())
            expect(error is None, f"listing {number + 1}: {type(error).__name__}: {error}")


@fault_in("3.0")
def memory_is_what_the_balloon_left(place: Place) -> None:
    guests.start(place, instance.instance(guests.NAME, memory=256), paused=False)
    guests.wait_until_up(place)
    with guests.RawMonitor(place) as monitor:
        monitor.execute("balloon", value=192 * _MIB)
        wait_until(
            lambda: monitor.execute("query-balloon")["actual"] == 192 * _MIB, 60, "the balloon"
        )
    memory = place.node.hypervisor().GetInstanceInfo(guests.NAME)[2]
    expect(memory == 192, f"the guest has 192 MiB, reported are {memory}")


@fault_in("3.0")
def a_power_down_that_nobody_heard_is_an_error(place: Place) -> None:
    made = guests.start(place)
    with guests.hung(guests.pid_of(place)):
        error = error_of(lambda: place.node.hypervisor().StopInstance(made))
    expect(error is not None, "the hung QEMU was told to power down, with success")
    expect_hypervisor_error(error)


@fault_in("3.1")
def shutting_down_a_stuck_qemu_ends_in_its_death(place: Place) -> None:
    from ganeti import backend

    made = guests.start(place)
    pid = guests.pid_of(place)
    with guests.hung(pid):
        # What the node daemon does for `gnt-instance shutdown --timeout=10`.
        error = error_of(lambda: backend.InstanceShutdown(made, 10, [], store_reason=False))
        expect(error is None, f"the shut-down failed: {type(error).__name__}: {error}")
        expect(not is_alive(pid), "QEMU still runs")


@fault_in("3.0", "3.1")
def stop_by_name_alone(place: Place) -> None:
    guests.start(place)
    pid = guests.pid_of(place)
    # As the watcher does on a node that has been offline: it knows no instance object.
    error = error_of(
        lambda: place.node.hypervisor().StopInstance(None, force=True, name=guests.NAME)
    )
    expect(error is None, f"{type(error).__name__}: {error}")
    expect(not is_alive(pid), "QEMU still runs")


@fault_in("3.0", "3.1")
def clean_up_after_a_killed_qemu_leaves_nothing(place: Place) -> None:
    before = guests.look(place)
    guests.start(place)
    pid = guests.pid_of(place)
    kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of QEMU")
    place.node.hypervisor().CleanupInstance(guests.NAME)
    left = leftovers.take(place.node.run_folder).added_since(before)
    expect(not left, f"left behind: {left}")


@fault_in("3.1")
def a_query_right_after_a_start_is_quick(place: Place) -> None:
    hypervisor = place.node.hypervisor()
    hypervisor.StartInstance(instance.instance(guests.NAME), [], False)
    seconds = seconds_of(lambda: hypervisor.GetInstanceInfo(guests.NAME))
    expect(seconds < 3, f"GetInstanceInfo after StartInstance took {seconds:.1f} s")
