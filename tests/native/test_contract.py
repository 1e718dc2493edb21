"""The names, signatures and error classes of the native module are those of its stub."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ganeti_hv_kvm import _native, errors
from harness import paths

RUST = paths.PROJECT / "src"


def test_the_stub_says_what_the_binary_has():
    """Names, signatures, defaults, constants and the export list, both ways."""
    command = [sys.executable, "-m", "mypy.stubtest", "ganeti_hv_kvm._native"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=paths.PROJECT)
    assert run.returncode == 0, run.stdout + run.stderr


def _kinds(text: str) -> set[str]:
    """The variants of the core's ErrorKind."""
    _, body = text.split("pub enum ErrorKind {")
    body, *_ = body.split("\n}", maxsplit=1)
    return set(re.findall(r"^    ([A-Z]\w+)", body, re.MULTILINE))


def test_every_error_of_the_core_has_a_class():
    mapping = (RUST / "binding/errors.rs").read_text()
    kinds = _kinds((RUST / "qmp/error.rs").read_text())
    assert len(kinds) >= 10
    _, body = mapping.split("fn class_name(")
    body, *_ = body.split("\n}", maxsplit=1)
    assert set(re.findall(r"ErrorKind::(\w+)", body)) == kinds
    assert "_ =>" not in body
    for name in re.findall(r'"(\w+)"', body):
        assert issubclass(getattr(errors, name), errors.QmpError), name


def test_every_error_class_is_a_hypervisor_error():
    classes = [
        value
        for name, value in vars(errors).items()
        if name.startswith("Qmp") and isinstance(value, type)
    ]
    assert len(classes) == 9
    assert all(issubclass(one, errors.HypervisorError) for one in [*classes, errors.TapError])
    assert issubclass(errors.QmpNotConnectedError, errors.ProgrammerError)


def test_classes_say_where_they_live():
    for name in ("QmpConnection", "QmpMessage", "QmpEvent", "QmpTimestamp"):
        found = getattr(_native, name)
        assert (found.__module__, found.__name__) == ("ganeti_hv_kvm._native", name)
        assert found.__doc__


def test_the_core_is_unsafe_in_one_file_only():
    unsafe = [path for path in RUST.rglob("*.rs") if re.search(r"\bunsafe\b", path.read_text())]
    assert {path.relative_to(RUST) for path in unsafe} == {Path("tap/ioctl.rs")}


def test_constants_are_ganetis():
    connection = _native.QmpConnection
    assert (connection._MESSAGE_END_TOKEN, connection._SEND_END_TOKEN) == (b"\r\n", b"\n")
    assert (connection._QMP_TIMEOUT, connection._SOCKET_TIMEOUT) == (5, 5)
    assert connection.ACTUAL_KEY == connection._ACTUAL_KEY == "actual"
    assert (connection._EXECUTE_KEY, connection._ARGUMENTS_KEY) == ("execute", "arguments")
