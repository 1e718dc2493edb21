"""`make demo`: one guest from start to shut-down through Ganeti's own code, then a look round.

Runs inside tests/harness/sandbox, with an interpreter in which `ganeti-hv-kvm enable` was called:
nothing here chooses the module, Ganeti's own import finds it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import console, guest, instance, leftovers, node

from . import hardware, migration
from .timeline import Timeline

_NAME = "demo.example.com"
_BOOT_TIMEOUT = 90.0
_SHUTDOWN_TIMEOUT = 60.0


class Demo:
    """The steps, in their order; each prints its line on the timeline."""

    def __init__(self, generation: str, module: str) -> None:
        self._timeline = Timeline()
        self._generation = generation
        self._module = module

    def run(self) -> None:
        """All steps. Raises what went wrong; the guest and the node root are gone either way."""
        with self._timeline.step("make a Ganeti node of its own") as say:
            self._node = node.find_node(self._generation, self._module)
            node.make_bridge()
            say.append(f"Ganeti {_ganeti_version()}, root folder {self._node.root}")
            say.append(f"ganeti.hypervisor.hv_kvm is {_shortened(self._node.origin)}")
        try:
            self._run_guest()
        finally:
            self._node.remove()
        migration.show(self._timeline, self._generation, self._module)
        print(f"\nAll steps done in {self._timeline.total():.1f} s; nothing is left.")

    def _run_guest(self) -> None:
        disks = [instance.disk(self._node.root)]
        self._instance = instance.instance(_NAME, nics=[instance.nic()], disks=disks)
        before = leftovers.take(self._node.run_folder)
        try:
            with self._timeline.step("StartInstance") as say:
                self._node.hypervisor().StartInstance(self._instance, disks, False)
                say.append(f"QEMU has process id {self._pid()}")
            seen = leftovers.take(self._node.run_folder).added_since(before)
            self._show_tap()
            self._show_state()
            self._watch_console()
            with self._timeline.step("CleanupInstance"):
                self._node.hypervisor().CleanupInstance(_NAME)
        except BaseException:
            self._destroy()
            raise
        self._check_nothing_left(before, seen)

    def _pid(self) -> int:
        return int((self._node.run_folder / "pid" / _NAME).read_text())

    def _show_tap(self) -> None:
        with self._timeline.step("look at its network card") as say:
            tap = (self._node.run_folder / "nic" / _NAME / "0").read_text()
            device = Path("/sys/class/net") / tap
            bridge = (device / "master").resolve().name
            is_up = int((device / "flags").read_text(), 16) & 1
            say.append(f"TAP {tap}: {'up' if is_up else 'down'}, on bridge {bridge}")

    def _show_state(self) -> None:
        with self._timeline.step("ask QEMU over QMP") as say:
            status, memory, vcpus = self._ask_qemu()
            say.append(f"{status}, memory {memory} MiB, {vcpus} vCPU")
        with self._timeline.step("GetInstanceInfo") as say:
            name, pid, memory, vcpus, _, _ = self._node.hypervisor().GetInstanceInfo(_NAME)
            say.append(f"{name}, process {pid}, memory {memory} MiB, {vcpus} vCPU")

    def _ask_qemu(self) -> tuple[str, int, int]:
        from ganeti.hypervisor import hv_kvm

        with hv_kvm.QmpConnection(str(self._node.socket(_NAME, "qmp"))) as qmp:
            status = qmp.execute_qmp("query-status")["status"]
            memory = qmp.execute_qmp("query-balloon")["actual"] // (1024 * 1024)
            return status, memory, len(qmp.execute_qmp("query-cpus-fast"))

    def _watch_console(self) -> None:
        with self._serial() as serial:
            self._wait_for_linux(serial)
            hardware.come_and_go(self._timeline, self._node, self._instance, serial)
        with self._timeline.step("RebootInstance, softly") as say:
            self._node.hypervisor().RebootInstance(self._instance)
            say.append(f"QEMU has process id {self._pid()}")
        with self._serial() as serial:
            self._wait_for_linux(serial)
            with self._timeline.step("StopInstance, by the ACPI power button") as say:
                self._node.hypervisor().StopInstance(self._instance, timeout=_SHUTDOWN_TIMEOUT)
                say.append(f"serial console: {serial.wait_for(guest.POWER_BUTTON.search, 30)}")
            with self._timeline.step("wait until QEMU has ended"):
                self._wait_until_ended()

    def _serial(self) -> console.SerialConsole:
        return console.SerialConsole(self._node.socket(_NAME, "serial"))

    def _wait_for_linux(self, serial: console.SerialConsole) -> None:
        with self._timeline.step("wait until Linux is up in the guest") as say:
            line = serial.wait_for(guest.STATUS_LINE.search, _BOOT_TIMEOUT)
            say.append(f"serial console: {line}")

    def _wait_until_ended(self) -> None:
        deadline = time.monotonic() + _SHUTDOWN_TIMEOUT
        while self._node.hypervisor().ListInstances():
            if time.monotonic() > deadline:
                raise TimeoutError(f"QEMU still runs {_SHUTDOWN_TIMEOUT:g} s after the shut-down")
            time.sleep(0.1)

    def _check_nothing_left(self, before: leftovers.Snapshot, seen: Sequence[str]) -> None:
        with self._timeline.step("check that nothing is left") as say:
            missing = {"process", "interface", "file"} - {line.split(":")[0] for line in seen}
            if missing:
                raise RuntimeError(f"the check is blind: saw no {missing} of the running guest")
            left = leftovers.take(self._node.run_folder).added_since(before)
            if left:
                raise RuntimeError("left behind: " + ", ".join(left))
            say.append(f"was there while it ran: {', '.join(_counted(seen))}")
            say.append("is there now: no process, no TAP, no open file, no file")

    def _destroy(self) -> None:
        """After a failure or Ctrl-C: the guest must not outlive the demo."""
        try:
            self._node.hypervisor().StopInstance(self._instance, force=True)
            self._node.hypervisor().CleanupInstance(_NAME)
        except Exception as error:
            print(f"cleaning up failed: {error}", file=sys.stderr)


def _counted(seen: Sequence[str]) -> list[str]:
    taps = [line.split(": ")[1] for line in seen if line.startswith("interface")]
    files = sum(line.startswith("file") for line in seen)
    return ["QEMU", *taps, f"{files} files and sockets"]


def _ganeti_version() -> str:
    from ganeti import constants

    return str(constants.RELEASE_VERSION)


def _shortened(path: Path) -> str:
    folder = Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--ganeti", choices=("3.0", "3.1"), default="3.0")
    parser.add_argument("--module", choices=(node.OURS, node.ORIGINAL), default=node.OURS)
    chosen = parser.parse_args(arguments)
    try:
        Demo(chosen.ganeti, chosen.module).run()
    except KeyboardInterrupt:
        print("\ninterrupted; the guest was removed", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"\ndemo failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
