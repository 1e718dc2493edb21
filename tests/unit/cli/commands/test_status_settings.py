"""What `status` says of the cluster's settings file, asked of a Python that gets our module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_hv_kvm import cli
from ganeti_hv_kvm.cli import interpreter
from ganeti_hv_kvm.cli.commands import status as status_command
from ganeti_hv_kvm.cli.frame import exit_status
from ganeti_hv_kvm.cli.interpreter import Runtime
from ganeti_hv_kvm.hv_kvm.ganeti import settings_file
from harness import paths


@pytest.fixture
def file() -> Iterator[Path]:
    """The file of the Ganeti under test, not there yet."""
    path = Path(settings_file.PATH)
    assert not path.exists()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Give the command's exit status and what it prints."""
    runtime = Runtime(sys.executable, paths.GANETI_CODE["3.0"])
    # enabled for this process alone: nothing is written
    monkeypatch.setattr(status_command, "find_runtime", lambda *_: runtime)
    monkeypatch.setattr(
        status_command, "ask", lambda one, **_: interpreter.ask(one, as_if_enabled=True)
    )

    def run() -> tuple[int, str]:
        return cli.main(["status"]), capsys.readouterr().out

    return run


def test_none(status, file) -> None:
    ended, told = status()
    assert ended == exit_status.WELL, told
    assert "settings file: none" in told


def test_one_that_is_right(status, file) -> None:
    file.write_text("[hv-kvm]\nqmp_timeout = 10\n")
    ended, told = status()
    assert ended == exit_status.WELL, told
    assert f"settings file: {file}" in told
    assert "wrong setting" not in told


def test_a_slip(status, file) -> None:
    file.write_text("[hv-kvm]\nqmp_timeout = soon\nno_such = 1\n")
    ended, told = status()
    assert ended == exit_status.WRONG_SETTING, told
    assert f"wrong setting: {file}, line 2: qmp_timeout is 'soon', which is no number" in told
    assert f"{file}, line 3: there is no setting 'no_such'; the default holds" in told
