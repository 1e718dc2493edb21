"""Which Python runs Ganeti, and what it answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ganeti_hv_kvm.cli import interpreter
from ganeti_hv_kvm.cli.interpreter import AskError, Runtime
from harness import paths


def make_ganeti(directory: Path, first_line: str) -> Path:
    (directory / "ganeti").mkdir()
    (directory / "ganeti/__init__.py").touch()
    program = directory / "ganeti-noded"
    program.write_text(first_line + "\n")
    program.chmod(0o755)
    return directory


def test_debians_ganeti_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Root's PATH in a cron job or a container may lack sbin.
    monkeypatch.setenv("PATH", "/usr/bin")
    assert interpreter.find_runtime() == Runtime("/usr/bin/python3", paths.GANETI_CODE["3.0"])


@pytest.mark.parametrize("generation", paths.GANETI_CODE)
def test_the_directory_decides(generation: str) -> None:
    code = paths.GANETI_CODE[generation]
    assert interpreter.find_runtime(code) == Runtime("/usr/bin/python3", code)
    assert interpreter.find_runtime(code, "/x/python") == Runtime("/x/python", code)


@pytest.mark.parametrize(
    ("first_line", "python"),
    [
        (f"#!{sys.executable}", sys.executable),
        (f"#! {sys.executable} -s", sys.executable),
        ("#!/usr/bin/env python3", "/found/python3"),
        ("#!/usr/bin/env -S python3 -s", "/found/python3"),
    ],
)
def test_first_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_line: str, python: str
) -> None:
    def which(name: str, **_: Any) -> str:
        return name if name.startswith("/") else f"/found/{name}"

    monkeypatch.setattr(interpreter.shutil, "which", which)
    assert interpreter.find_runtime(make_ganeti(tmp_path, first_line)).python == python


@pytest.mark.parametrize("first_line", ["", "#!", "#!/bin/sh", "#!/nowhere/python3", "\x7fELF"])
def test_programs_that_no_python_runs(tmp_path: Path, first_line: str) -> None:
    with pytest.raises(AskError, match=r"cannot tell which Python runs .*ganeti-noded; name it"):
        interpreter.find_runtime(make_ganeti(tmp_path, first_line))


def test_without_ganetis_programs_this_python_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ganeti(tmp_path, "#!/bin/sh")
    (tmp_path / "ganeti-noded").unlink()
    assert interpreter.find_runtime(tmp_path) == Runtime(sys.executable, tmp_path)
    monkeypatch.setattr(interpreter.shutil, "which", lambda name, **_: None)
    assert interpreter.find_runtime() == Runtime(sys.executable, None)


def test_a_directory_without_ganeti(tmp_path: Path) -> None:
    with pytest.raises(AskError, match="no Ganeti in"):
        interpreter.find_runtime(tmp_path)


def fake_python(tmp_path: Path, script: str) -> Runtime:
    program = tmp_path / "python-fake"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    return Runtime(str(program), None)


def has_a(told: Mapping[str, Any]) -> bool:
    return "a" in told


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("kill -SEGV $$", "died of signal 11 while importing Ganeti"),
        ("echo 'no way' >&2; exit 1", "gave no answer, it said: no way"),
        ("echo not json", "gave no answer, it said: nothing"),
        ("echo '[1, 2]'; echo 5", "gave no answer, it said: nothing"),
        (r"printf '\351t\351\n' >&2; exit 1", "gave no answer, it said: .t.$"),
    ],
)
def test_pythons_that_do_not_answer(tmp_path: Path, script: str, problem: str) -> None:
    with pytest.raises(AskError, match=problem):
        interpreter.ask(fake_python(tmp_path, script))


@pytest.mark.parametrize(
    "noise",
    [
        "echo 5",
        r"printf '\351t\351\n'",
        "echo '[1]'",
        "echo",
        "echo {}",
        'echo \'{"level": "info"}\'',
    ],
)
def test_what_a_sites_code_prints_beside_it(tmp_path: Path, noise: str) -> None:
    """Fault: it was taken for the answer, or was a fault of the command."""
    python = fake_python(tmp_path, f"{noise}\necho '{{\"a\": 1}}'\n{noise}\n")
    assert interpreter.run(python, "probe.py", [], {}, 60, wanted=has_a) == {"a": 1}


@pytest.mark.parametrize("told", ["{}", '{"answer": 1}', '{"hook_file": null}'])
def test_an_object_that_is_no_answer(tmp_path: Path, told: str) -> None:
    """Fault: a KeyError, which is a fault of the command."""
    python = fake_python(tmp_path, f"echo '{told}'; echo 'no more' >&2")
    with pytest.raises(AskError, match="gave no answer, it said: no more"):
        interpreter.ask(python)


def test_a_python_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(AskError, match=r"gave no answer within 0\.2 s"):
        interpreter.ask(fake_python(tmp_path, "exec sleep 60"), seconds=0.2)


@pytest.mark.parametrize("script", ["exec yes", "exec yes >&2", "yes & exit 0", "yes >&2 & exit 1"])
def test_a_python_that_prints_without_end_is_ended(tmp_path: Path, script: str) -> None:
    """Fault: all of it was kept until the time was over, a gigabyte for each second or two."""
    with pytest.raises(AskError, match=r"printed more than 16 MiB, and was ended$"):
        interpreter.ask(fake_python(tmp_path, script), seconds=30)


def test_what_is_held_open_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(AskError, match=r"gave no answer within 0\.5 s"):
        interpreter.ask(fake_python(tmp_path, "sleep 60 & echo '{}'; exit 0"), seconds=0.5)


def test_a_python_that_prints_much_answers_all_the_same(tmp_path: Path) -> None:
    script = "yes warning | head -c 4000000; echo '{\"a\": 1}'"
    python = fake_python(tmp_path, script)
    assert interpreter.run(python, "probe.py", [], {**os.environ}, 60, wanted=has_a) == {"a": 1}


def test_the_shells_settings_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/misleading")
    code = paths.GANETI_CODE["3.0"]
    answer = interpreter.ask(Runtime("/usr/bin/python3", code))
    assert answer.module == "original"
    assert answer.facts["ganeti"] == str(code / "ganeti/constants.py")


BASE = {"hook_file": None, "enabled": False, "class_module": "ganeti.hypervisor.hv_kvm"}
HOOK = {"hook_file": "/s/x.pth", "enabled": True}


@pytest.mark.parametrize(
    ("facts", "module", "why"),
    [
        ({}, "original", "not enabled"),
        ({"native_error": "E"}, "original", "not enabled; the native part of ganeti-hv-kvm fails"),
        ({"package_error": "E"}, "original", "not enabled; this Python cannot import"),
        (HOOK | {"package_error": "E"}, "original", "this Python cannot import ganeti-hv-kvm: E"),
        (HOOK | {"failure": "F"}, "original", "ganeti-hv-kvm stood aside: F"),
        ({"hook_file": "/s/x.pth"}, "original", "this Python did not read /s/x.pth"),
        (HOOK | {"class_module": "ganeti_hv_kvm.hv_kvm"}, "replacement", "enabled by /s/x.pth"),
        ({"class_module": "ganeti_hv_kvm.hv_kvm"}, "replacement", "not enabled, but it would"),
        ({"class_module": None, "ganeti_error": "E"}, "none", "Ganeti cannot be imported: E"),
    ],
)
def test_reasons(facts: dict[str, Any], module: str, why: str) -> None:
    merged = {name: value for name, value in (BASE | facts).items() if name != "class_module"}
    class_module = (BASE | facts)["class_module"]
    if class_module:
        merged["class_module"] = class_module
    assert interpreter._module(merged) == module
    assert interpreter._why(module, merged, as_if_enabled=False).startswith(why)
