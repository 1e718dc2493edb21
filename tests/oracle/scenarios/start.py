"""Faults of a start: what it runs, what it leaves, what it forgets."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

from harness import instance, leftovers, paths
from oracle import guests, rfb
from oracle.place import Place, error_of, expect, expect_hypervisor_error, fault_in

_VHOST = Path("/dev/vhost-net")
_VNC_PORT = 5907


def _script(place: Place, name: str, *lines: str) -> Path:
    script = place.node.root / name
    script.write_text("\n".join(["#!/bin/bash", *lines, ""]))
    script.chmod(0o755)
    return script


def _cover(file: Path, by: Path) -> None:
    """Puts ``by`` in the place of ``file``, for this sandbox alone."""
    subprocess.run(["mount", "--bind", str(by), str(file)], check=True)


@fault_in("3.0", "3.1")
def the_network_script_gets_the_interface_as_text(place: Place) -> None:
    seen = place.node.root / "arguments"
    _cover(paths.NIC_SCRIPT, _script(place, "ifup", f'echo "$1" >{seen}'))
    guests.start(place, instance.instance(guests.NAME, nics=[instance.nic()]))
    given = seen.read_text().strip()
    expect(given == "tap0", f"the script's first argument is {given}")


@fault_in("3.0", "3.1")
def the_interface_name_is_text(place: Place) -> None:
    from ganeti.hypervisor.hv_kvm import netdev

    name, fds, _ = netdev.OpenTap()
    for fd in fds:
        os.close(fd)
    expect(isinstance(name, str), f"it is {name!r}")


class _Counter:
    """A QEMU that writes down the first argument of each run."""

    def __init__(self, place: Place) -> None:
        self._runs = place.node.root / "runs"
        self.path = _script(place, "qemu", f'echo "$1" >>{self._runs}', f'exec {paths.QEMU} "$@"')

    def questions(self) -> list[str]:
        """The runs that started no guest (a guest's command line begins with its name)."""
        return [first for first in self._runs.read_text().split() if first != "-name"]


@fault_in("3.0", "3.1")
def a_start_asks_the_binary_each_question_once(place: Place) -> None:
    qemu = _Counter(place)
    guests.start(place, instance.instance(guests.NAME, kvm_path=str(qemu.path)))
    asked = qemu.questions()
    expect(len(asked) == len(set(asked)), f"asked {asked}")


@fault_in("3.0", "3.1")
def a_second_node_info_does_not_run_the_binary(place: Place) -> None:
    qemu = _Counter(place)
    for _ in range(3):
        place.node.hypervisor().GetNodeInfo(hvparams={"kvm_path": str(qemu.path)})
    asked = qemu.questions()
    expect(len(asked) == 1, f"three node infos asked {asked}")


def _expect_clean_failure(place: Place, **parameters: object) -> None:
    nic = guests.bridged_nic()
    before = guests.look(place)
    made = instance.instance(guests.NAME, nics=[nic], vcpus=2, **parameters)
    error = error_of(lambda: guests.start(place, made, paused=False))
    expect(error is not None, "the start succeeded")
    left = leftovers.take(place.node.run_folder).added_since(before)
    expect(not left, f"left after {type(error).__name__}: {left}")
    running = place.node.hypervisor().ListInstances()
    expect(not running, f"listed as running: {running}")
    expect_hypervisor_error(error)


@fault_in("3.0", "3.1")
def a_bad_cpu_in_the_mask_leaves_nothing(place: Place) -> None:
    _expect_clean_failure(place, cpu_mask="0:4095")


@fault_in("3.0", "3.1")
def a_qemu_that_refuses_leaves_nothing(place: Place) -> None:
    _expect_clean_failure(place, kvm_extra="-no-such-option")


@fault_in("3.0", "3.1")
def a_network_script_that_fails_leaves_nothing(place: Place) -> None:
    _cover(paths.NIC_SCRIPT, _script(place, "ifup", "exit 1"))
    _expect_clean_failure(place)


def _without_vhost(place: Place) -> None:
    """Hides /dev/vhost-net, in this sandbox's mounts, where the machine has it."""
    if _VHOST.exists():
        cover = place.node.root / "cover"
        with socket.socket(socket.AF_UNIX) as unconnectable:
            unconnectable.bind(str(cover))
        _cover(_VHOST, cover)


def _expect_tap_failure_leaves_nothing(place: Place, features: dict[str, object]) -> None:
    from ganeti.hypervisor.hv_kvm import netdev

    before = guests.look(place)
    error = error_of(lambda: netdev.OpenTap(features=features))
    left = leftovers.take(place.node.run_folder).added_since(before)
    expect(error is not None, "OpenTap succeeded")
    expect(not left, f"left after a failure: {left[:4]}")
    expect_hypervisor_error(error)


@fault_in("3.0", "3.1")
def a_tap_without_vhost_leaves_nothing(place: Place) -> None:
    _without_vhost(place)
    _expect_tap_failure_leaves_nothing(place, {"vhost": True})


@fault_in("3.0", "3.1")
def a_tap_that_fails_at_a_later_queue_leaves_nothing(place: Place) -> None:
    # The kernel gives a TAP 256 queues at most.
    _expect_tap_failure_leaves_nothing(place, {"mq": (True, 300)})


@fault_in("3.0", "3.1")
def one_mask_for_the_whole_guest_pins_its_vcpus(place: Place) -> None:
    guests.start(place, instance.instance(guests.NAME, vcpus=2, cpu_mask="0"))
    threads = Path(f"/proc/{guests.pid_of(place)}/task")
    allowed = {thread.name: _allowed_cpus(thread) for thread in threads.iterdir()}
    expect(set(allowed.values()) == {"0"}, f"the threads may run on {sorted(allowed.items())}")


def _allowed_cpus(thread: Path) -> str:
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", (thread / "status").read_text(), re.M)
    if found is None:
        raise AssertionError(f"no CPU list in {thread}/status")
    return found.group(1)


def _start_with_vnc_password(place: Place, password: str) -> None:
    file = place.node.root / "password"
    file.write_text(f"{password}\n")
    made = instance.instance(guests.NAME, vnc_bind_address="127.0.0.1", vnc_password_file=str(file))
    made.network_port = _VNC_PORT
    guests.start(place, made)


@fault_in("3.0", "3.1")
def the_vnc_password_is_in_no_log(place: Place) -> None:
    secret = "hunter2"
    _start_with_vnc_password(place, secret)
    found = [text for text in place.log.texts if secret in text]
    expect(not found, f"it is in: {found}")


@fault_in("3.0")
def a_vnc_password_with_a_space_and_a_backslash_opens_the_display(place: Place) -> None:
    password = "a b\\c"
    _start_with_vnc_password(place, password)
    expect(not rfb.is_accepted(_VNC_PORT, "wrong"), "a wrong password opened the display")
    expect(rfb.is_accepted(_VNC_PORT, password), "the right password was refused")


@fault_in("3.1")
def the_monitor_is_free_after_a_start(place: Place) -> None:
    hypervisor = place.node.hypervisor()
    hypervisor.StartInstance(instance.instance(guests.NAME), [], False)
    # Same object still alive: what it holds open, it holds.
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(3)
        client.connect(str(place.node.socket(guests.NAME, "qmp")))
        try:
            greeting = client.recv(4096)
        except TimeoutError:
            greeting = b""
    expect(greeting.startswith(b'{"QMP"'), "no greeting: the start still holds the monitor")
