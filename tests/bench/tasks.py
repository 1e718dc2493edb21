"""What a worker can measure: each function gives samples, the seconds and CPU seconds of a time."""

from __future__ import annotations

import fcntl
import gc
import json
import marshal
import os
import resource
import select
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import clients

Sample = dict[str, float]


@contextmanager
def _timed(samples: list[Sample], times: int = 1) -> Iterator[None]:
    """Adds what the block took, divided by how often it did the thing."""
    cpu, start = time.process_time(), time.perf_counter()
    yield
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    samples.append({"seconds": seconds / times, "cpu": cpu / times})


def commands(subject: str, path: str, command: str, times: int, samples: int) -> list[Sample]:
    """A command on an open connection, ``times`` in a row for one sample."""
    client = clients.make(subject, path)
    client.connect()
    taken: list[Sample] = []
    for _ in range(min(times, 20)):
        client.execute(command)
    for _ in range(samples):
        with _timed(taken, times):
            for _ in range(times):
                client.execute(command)
    client.close()
    return taken


def connections(subject: str, path: str, times: int, samples: int) -> list[Sample]:
    """Connect, give one command, close."""
    taken: list[Sample] = []
    clients.check(clients.make(subject, path))
    for _ in range(samples):
        with _timed(taken, times):
            for _ in range(times):
                client = clients.make(subject, path)
                client.connect()
                client.execute("query-status")
                client.close()
    return taken


# Listing

_COMMANDS = ("qmp_capabilities", "query-status", "query-cpus-fast", "query-balloon")
_QUESTIONS = b"".join(clients.line(command, number) for number, command in enumerate(_COMMANDS))
#: The greeting, and a reply to each.
_LINES = 5


def listing(subject: str, paths: list[str], samples: int) -> list[Sample]:
    """All guests once; the bare loop asks those at ``paths``, Ganeti's modules find them."""
    taken: list[Sample] = []
    if subject != clients.FLOOR:
        from ganeti.hypervisor import GetHypervisor

        hypervisor = GetHypervisor("kvm")
        listed: Callable[[], int] = lambda: len(hypervisor.GetAllInstancesInfo())  # noqa: E731
    else:
        listed = lambda: _poll(paths)  # noqa: E731
    for _ in range(samples):
        with _timed(taken):
            count = listed()
        if count != len(paths):
            raise RuntimeError(f"{count} guests were listed, not {len(paths)}")
    return taken


def _poll(paths: Iterable[str]) -> int:
    """The floor: everything is sent before anything is read, and nothing is looked at."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll, talks = select.epoll(), {}
    for path in paths:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.connect(path)
        connection.send(_QUESTIONS)
        poll.register(connection, select.EPOLLIN)
        talks[connection.fileno()] = [connection, 0]
    count = 0
    while talks:
        for fd, _ in poll.poll():
            talk = talks[fd]
            talk[1] += talk[0].recv(1 << 16).count(b"\n")
            if talk[1] >= _LINES:
                poll.unregister(fd)
                talk[0].close()
                del talks[fd]
                count += 1
    poll.close()
    return count


# Start

NAME = "bench.example.com"


def start(subject: str, samples: int, cold: bool) -> list[Sample]:
    """StartInstance, less the time in which QEMU itself started: what the module adds.

    The guest waits before its first instruction and has one disk; cold: nothing that an earlier
    start learned is there.
    """
    del subject
    from ganeti import pathutils, utils
    from ganeti.hypervisor import GetHypervisor

    from harness import instance

    folder = Path(pathutils.RUN_DIR)
    disk = instance.disk(folder)
    guest = instance.instance(NAME, disks=[disk])
    launches: list[float] = []
    run_command = utils.RunCmd

    def run(command: Any, *arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        result = run_command(command, *arguments, **options)
        if "-daemonize" in command:
            launches.append(time.perf_counter() - begin)
        return result

    utils.RunCmd = run
    taken: list[Sample] = []
    for _ in range(samples):
        if cold:
            shutil.rmtree(folder / "ganeti-hv-kvm", ignore_errors=True)
        hypervisor = GetHypervisor("kvm")
        launches.clear()
        with _timed(taken):
            hypervisor.StartInstance(guest, [disk], True)
        taken[-1]["seconds"] -= sum(launches)
        hypervisor.StopInstance(guest, force=True)
        hypervisor.CleanupInstance(NAME)
    utils.RunCmd = run_command
    return taken


# TAP devices

_TUNGETFEATURES, _TUNSETIFF = 0x800454CF, 0x400454CA
_TAP_FLAGS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR


def taps(subject: str, samples: int) -> list[Sample]:
    """A TAP device opened; closing it, which takes the kernel longer, is left out."""
    taken: list[Sample] = []
    for _ in range(samples):
        if subject == clients.FLOOR:
            with _timed(taken):
                fds = [_bare_tap()]
        else:
            from ganeti.hypervisor import hv_kvm

            with _timed(taken):
                _, fds, _ = hv_kvm.OpenTap(features={"vnet_hdr": True})
        for fd in fds:
            os.close(fd)
    return taken


def _bare_tap() -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNGETFEATURES, struct.pack("I", 0))
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", b"", _TAP_FLAGS))
    return fd


# Decoding

ORJSON, PYTHON_JSON = "orjson", "json"
#: Python's own way to store objects: makes the same ones from bytes in which nothing is searched.
MARSHAL = "marshal"


def decoding(
    subject: str, role: str, path: str, copies: int, times: int, samples: int
) -> list[Sample]:
    """A reply read from ``path`` made into Python objects; ``copies`` of it in one list."""
    text = Path(path).read_bytes().strip()
    if copies > 1:
        text = b'{"return": [' + b", ".join([text] * copies) + b"]}"
    if role == ORJSON:
        import orjson

        decode: Callable[[bytes], Any] = orjson.loads
    elif role == PYTHON_JSON:
        decode = json.loads
    elif role == MARSHAL:
        text, decode = marshal.dumps(json.loads(text)), marshal.loads
    else:
        from ganeti_hv_kvm import _native

        decode = _native.QmpMessage.build_from_json_string
    taken: list[Sample] = []
    # whose turn it is to collect garbage must not be a matter of luck
    gc.disable()
    for _ in range(samples):
        with _timed(taken, times):
            for _ in range(times):
                decode(text)
        gc.collect()
    gc.enable()
    return taken
