"""The wheel for aarch64, run by qemu-user: TAP interfaces, a QMP session, a listing."""

from __future__ import annotations

import subprocess
import textwrap
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths
from packages.conftest import WORK

_ROOT = WORK / "arm64"
_PYTHON = (_ROOT / "qemu-aarch64-static", "-L", _ROOT, _ROOT / "usr/bin/python3", "-I", "-c")
#: A network of its own: the TAP interface is nowhere else.
_ALONE = ("unshare", "--net", "--")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the wheel."""
    (wheel,) = (WORK / "wheels").glob("*aarch64.whl")
    folder = tmp_path_factory.mktemp("aarch64")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Path]:
    """The QMP socket of a QEMU of this machine."""
    socket = tmp_path / "qmp"
    command = [str(paths.QEMU), "-machine", "none", "-display", "none", "-name", "web"]
    with subprocess.Popen([*command, "-qmp", f"unix:{socket},server=on,wait=off"]) as qemu:
        try:
            while not socket.exists():
                assert qemu.poll() is None
                time.sleep(0.05)
            yield socket
        finally:
            qemu.kill()


def run(installed: Path, code: str, *arguments: str | Path) -> str:
    """Give what this code prints under Python for aarch64, with the wheel's content to import."""
    imports = f"import platform, sys; sys.path.insert(0, {str(installed)!r})\n"
    machine = "assert platform.machine() == 'aarch64', platform.machine()\n"
    done = subprocess.run(
        [*_ALONE, *_PYTHON, imports + machine + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_tap_interfaces_are_opened(installed: Path) -> None:
    told = run(
        installed,
        """
        import os, socket
        import ganeti_hv_kvm as module

        def names():
            return [name for _index, name in socket.if_nameindex() if name != "lo"]

        assert names() == []
        with open("/dev/net/tun", "r+b", buffering=0) as tun:
            assert module._ProbeTapVnetHdr(tun.fileno())
        name, fd = module._OpenTap(vnet_hdr=True)
        assert names() == [name]
        assert not os.get_inheritable(fd)
        os.close(fd)
        assert names() == []
        with module.Tap("queues%d", queues=2) as tap:
            assert names() == [tap.name] and len(tap.fds) == 2
        assert names() == []
        print("done")
        """,
    )
    assert told == "done\n"


def test_a_session_with_qemu_is_held(installed: Path, monitor: Path) -> None:
    told = run(
        installed,
        """
        from itertools import islice
        from ganeti_hv_kvm import QmpCommandNotSupported, QmpConnection, QmpRefusedError
        with QmpConnection(sys.argv[1], timeout=60) as qmp:
            print(qmp.execute_qmp("query-status")["status"], qmp.execute_qmp("query-name")["name"])
            # the largest reply that there is
            assert len(qmp.execute_qmp("query-qmp-schema")) > 1000
            try:
                qmp.execute_qmp("no-such-command")
            except QmpCommandNotSupported as error:
                print(error.command)
            try:
                qmp.execute_qmp("device_add", {"driver": "no-such-device"})
            except QmpRefusedError as error:
                print(error.error_class)
            qmp.execute_qmp("stop")
            qmp.execute_qmp("cont")
            both = islice(qmp.events(["STOP", "RESUME"], timeout=60), 2)
            print([event.event_type for event in both])
        """,
        monitor,
    )
    assert told.splitlines() == [
        "running web",
        "no-such-command",
        "GenericError",
        "['STOP', 'RESUME']",
    ]


def test_a_fleet_is_asked(installed: Path, monitor: Path, tmp_path: Path) -> None:
    told = run(
        installed,
        """
        from ganeti_hv_kvm import query_fleet
        for answer in query_fleet(sys.argv[1:], ["query-status"], timeout=60):
            print(answer.verdict, *(reply["status"] for reply in answer.replies))
        """,
        monitor,
        tmp_path / "no such socket",
    )
    assert told.splitlines() == ["answered running", "gone"]
