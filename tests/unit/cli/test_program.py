"""From words to a command, and to an exit status."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import ganeti_hv_kvm
from ganeti_hv_kvm import cli
from ganeti_hv_kvm.cli import commands, program
from ganeti_hv_kvm.cli.frame import exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.errors import HypervisorError

_HOME = Path(ganeti_hv_kvm.__file__).parents[1]
RUN = [sys.executable, "-m", "ganeti_hv_kvm"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_HOME)}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # an operator's has a buffer


class Example:
    """A command of which the test says what it does."""

    DESCRIPTION = "An example."

    def __init__(self, work):
        self.run = work

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true")


@pytest.fixture
def does(monkeypatch):
    def let(work):
        monkeypatch.setattr(commands, "module", lambda _name: Example(lambda _options: work()))

    return let


def test_its_status_is_the_commands(does):
    does(lambda: exit_status.WRONG)
    assert cli.main(["status"]) == exit_status.WRONG


def test_errors_for_people_and_for_programs(does, capsys):
    def fail():
        raise CommandError("the disk is full", disk="sda")

    does(fail)
    assert cli.main(["status"]) == exit_status.FAILED
    assert capsys.readouterr() == ("", "ganeti-hv-kvm: the disk is full\n")
    assert cli.main(["status", "--json"]) == exit_status.FAILED
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"text": "the disk is full", "status": 3, "disk": "sda"}}
    assert err == ""


@pytest.mark.parametrize("words", [["events"], ["top"], ["list", "--watch"]])
def test_an_error_of_a_stream_is_one_line(words, capsys):
    assert cli.main([*words, "--json", "--no-such"]) == exit_status.USAGE
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"]["status"] == exit_status.USAGE


def test_wrong_usage_for_programs_too(capsys):
    assert cli.main(["status", "--json", "--pyhton", "x"]) == exit_status.USAGE
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["status"], "did you mean '--python'?" in told["text"]) == (2, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["evnts"], "no command 'evnts'; did you mean 'events'?"),
        ([], "which command? "),
        (["\x1b[2J"], r"no command '\x1b[2J'"),
        (["--jsno"], "nothing is known of '--jsno'"),
        (["events", "--timeout", "nan"], "--timeout: invalid number of seconds value: 'nan'"),
        (["list", "--timeout", "1e10"], "--timeout: invalid number of seconds value: '1e10'"),
        (["top", "--interval", "3e9"], "--interval: invalid number of seconds value: '3e9'"),
        (["--timeout=3", "list"], "it goes behind 'ganeti-hv-kvm list'"),
    ],
)
def test_wrong_usage(words, text, capsys):
    assert cli.main(words) == exit_status.USAGE
    assert text in capsys.readouterr().err


def test_a_fault_of_ours_is_not_status_1(does, capsys):
    does(lambda: 1 // 0)
    assert cli.main(["status"]) == exit_status.FAILED
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "please report it: ZeroDivisionError" in err


@pytest.mark.parametrize(
    "error",
    [
        ImportError("_native.abi3.so is cut short"),
        HypervisorError("not one descriptor is left"),
        OSError(28, "No space left on device", "/run/x\n"),
    ],
)
def test_what_is_wrong_on_the_node_is_no_fault_of_ours(does, capsys, error):
    def fail():
        raise error

    does(fail)
    assert cli.main(["status"]) == exit_status.FAILED
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.startswith("ganeti-hv-kvm: ")) == ("", 1, True)


def test_interrupted(does):
    def interrupt():
        raise KeyboardInterrupt

    does(interrupt)
    assert cli.main(["status"]) == exit_status.INTERRUPTED


def test_each_command_has_its_module_and_words():
    parser = program.parser_of_all()
    (choices,) = (one for one in parser._actions if one.dest == "command")
    assert list(choices.choices) == list(commands.HELP)
    for name, one in choices.choices.items():
        assert one.description, name
        assert one.format_help()
        assert any("--json" in action.option_strings for action in one._actions), name
    assert all(f"  {number:<4} {text}" in parser.format_help() for number, text in
               exit_status.MEANINGS.items())  # fmt: skip


def run(*words, **rest):
    return subprocess.run(
        [*RUN, *words], capture_output=True, text=True, check=False, env=ENVIRONMENT, **rest
    )


def test_version_as_a_module():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ganeti-hv-kvm {ganeti_hv_kvm.__version__}\n"


@pytest.mark.parametrize("words", ["--help", "--version", "list --run-dir /nowhere --json"])
def test_a_closed_pipe_is_no_error(words):
    code = f'"$0" -m ganeti_hv_kvm {words} | exec 0<&-; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", code, sys.executable],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    status = exit_status.FAILED if "list" in words else exit_status.WELL
    assert (done.stdout, done.stderr) == (f"{status}\n", "")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("--help", exit_status.FAILED),
        ("--version", exit_status.FAILED),
        ("list --run-dir /nowhere --json", exit_status.FAILED),
        ("list --run-dir {empty}", exit_status.FAILED),
        ("list --run-dir {empty} --json", exit_status.FAILED),
        ("top --run-dir {empty} --json --count 1", exit_status.FAILED),
        ("metrics --run-dir {empty}", exit_status.FAILED),
    ],
)
def test_an_answer_that_cannot_be_written_is_none(words, status, tmp_path):
    """Fault: a traceback, and the status of a node where something is wrong, or that of none."""
    words = words.format(empty=tmp_path).split()
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*RUN, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=ENVIRONMENT,
        )  # fmt: skip
    said = "ganeti-hv-kvm: the answer cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("words", [["--nonsense"], ["list", "--run-dir", "/nowhere"]])
def test_the_status_is_told_where_no_word_can_be(words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*RUN, *words], stdout=full, stderr=full, check=False, env=ENVIRONMENT
        )
    assert done.returncode in (exit_status.USAGE, exit_status.FAILED)
    code = '"$0" -m ganeti_hv_kvm list --nonsense 2> >(exec true); echo $?'
    done = subprocess.run(
        ["bash", "-c", code, sys.executable], capture_output=True, text=True, check=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert done.stdout == f"{exit_status.USAGE}\n"


def test_what_is_said_moves_no_cursor(does, capsys):
    """Fault: names of guests, and words of QEMU, in some error texts; twice escaped in others."""

    def fail():
        raise CommandError("no schema of odd\x1b[2Jname\nand more")

    does(fail)
    assert cli.main(["status"]) == exit_status.FAILED
    said = "ganeti-hv-kvm: no schema of odd\\x1b[2Jname\nand more\n"
    assert capsys.readouterr().err == said


def test_what_a_start_imports():
    code = (
        "import sys; sys.argv = ['x', 'nothing-like-it']\n"
        "from ganeti_hv_kvm.cli import main\n"
        "main(['--helpp'])\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    brought = set(done.stdout.split())
    assert not {"dataclasses", "subprocess", "asyncio", "ganeti", "concurrent.futures"} & brought
    assert {name for name in brought if name.startswith("ganeti_hv_kvm.cli.commands")} == {
        "ganeti_hv_kvm.cli.commands"
    }


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_on_a_terminal_alone(monkeypatch, environment):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert output.is_coloured() is (not environment)
        assert output.painted("x", output.RED) == ("x" if environment else "\x1b[31mx\x1b[0m")
    os.close(ours)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("word", ["list", "why x", "metrics"])
def test_closed_streams(word, closed, tmp_path):
    """Fault: a traceback, and exit status 1, after all was done."""
    command = f"exec {sys.executable} -m ganeti_hv_kvm {word} --run-dir {tmp_path} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == (exit_status.FAILED if word == "why x" else exit_status.WELL)
    assert "Traceback" not in done.stdout + done.stderr


def test_what_a_locale_cannot_say_is_escaped(tmp_path):
    (tmp_path / "pid").mkdir()
    (tmp_path / "pid" / "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher").touch()
    done = subprocess.run(
        [sys.executable, "-m", "ganeti_hv_kvm", "list", "--run-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (exit_status.WRONG, "")
    assert r"b\xfccher" in done.stdout


def test_a_directory_that_may_not_be_read_is_no_missing_one(monkeypatch, tmp_path, capsys):
    def refused(_self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refused)
    assert cli.main(["list", "--run-dir", str(tmp_path)]) == exit_status.FAILED
    assert "cannot be read: Permission denied" in capsys.readouterr().err
