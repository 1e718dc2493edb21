"""Records what a real QEMU says over QMP, a line a file: record.py QEMU_BINARY FOLDER."""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: File name, machine, command, arguments. "pc" is paused before its first instruction.
RECORDINGS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("query-version", "none", "query-version", {}),
    ("query-status-none", "none", "query-status", {}),
    ("query-commands", "none", "query-commands", {}),
    ("error-unknown-command", "none", "no-such-command", {}),
    ("query-status-prelaunch", "pc", "query-status", {}),
    ("query-cpus-fast", "pc", "query-cpus-fast", {}),
    ("query-balloon", "pc", "query-balloon", {}),
    ("query-pci", "pc", "query-pci", {}),
    ("query-block", "pc", "query-block", {}),
    ("query-qmp-schema", "none", "query-qmp-schema", {}),
    ("query-pci-disks", "disks", "query-pci", {}),
    ("query-block-disks", "disks", "query-block", {}),
    ("query-named-block-nodes", "disks", "query-named-block-nodes", {}),
    ("error-device-not-found", "pc", "device_del", {"id": "nobody"}),
    ("error-missing-argument", "pc", "device_del", {}),
)
PC = """-machine pc,accel=tcg -S -m 64 -smp 2 -nodefaults
    -device virtio-balloon-pci,id=balloon0 -device piix3-usb-uhci"""
#: Four disks of the kind that each Ganeti generation gives its guests: -drive, and -blockdev.
DISKS, IMAGE = 4, "/etc/os-release"
MACHINES = {"none": ["-machine", "none"], "pc": PC.split(), "disks": PC.split()}
for _number in range(DISKS):
    _file = f'"file": {{"driver": "file", "filename": "{IMAGE}", "aio": "threads"}}'
    MACHINES["disks"] += [
        "-drive",
        f"file={IMAGE},format=raw,if=none,aio=threads,readonly=on,id=drive{_number}",
        "-device",
        f"virtio-blk-pci,drive=drive{_number},id=old{_number}",
        "-blockdev",
        f'{{"driver": "raw", "node-name": "node{_number}", "read-only": true, {_file}}}',
        "-device",
        f"virtio-blk-pci,drive=node{_number},id=new{_number}",
    ]


@contextmanager
def monitor(binary: str, machine: str) -> Iterator[Any]:
    """A QEMU's monitor as a file of lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/qmp"
        chardev = f"unix:{path},server=on,wait=off"
        argv = [binary, *MACHINES[machine], "-display", "none", "-qmp", chardev]
        with subprocess.Popen(argv) as qemu, socket.socket(socket.AF_UNIX) as connection:
            try:
                while connection.connect_ex(path) != 0:
                    time.sleep(0.02)
                with connection.makefile("rwb", buffering=0) as lines:
                    yield lines
            finally:
                qemu.kill()


def ask(lines: Any, command: str, arguments: dict[str, Any]) -> list[bytes]:
    """All that comes up to the reply, which is the last."""
    request = {"execute": command, "arguments": arguments, "id": command}
    lines.write(json.dumps(request).encode() + b"\n")
    came = []
    while not came or b'"event": ' in came[-1]:
        came.append(lines.readline())
    return came


def record(binary: str, folder: pathlib.Path) -> None:
    for machine in MACHINES:
        with monitor(binary, machine) as lines:
            (folder / "greeting.json").write_bytes(lines.readline())
            ask(lines, "qmp_capabilities", {})
            for name, where, command, arguments in RECORDINGS:
                if where == machine:
                    answer = ask(lines, command, arguments)[-1]
                    (folder / f"{name}.json").write_bytes(answer)
            if machine == "pc":
                record_events(lines, folder)
            # Last: QEMU answers each word of it, so that more than one error comes.
            lines.write(b"this is no JSON\n")
            (folder / "error-unreadable.json").write_bytes(lines.readline())


def record_events(lines: Any, folder: pathlib.Path) -> None:
    ask(lines, "cont", {})
    (folder / "stop-with-event.jsonl").write_bytes(b"".join(ask(lines, "stop", {})))
    ask(lines, "device_add", {"driver": "usb-tablet", "id": "tablet0"})
    came = ask(lines, "device_del", {"id": "tablet0"})
    while b"DEVICE_DELETED" not in came[-1]:
        came.append(lines.readline())
    (folder / "device-deleted.jsonl").write_bytes(b"".join(came))


if __name__ == "__main__":
    record(sys.argv[1], pathlib.Path(sys.argv[2]))
