"""``status``, ``enable``, ``disable``: the installed command, or that of the wheel."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ganeti
import pytest

from ganeti_hv_kvm.hv_kvm.ganeti import settings_file
from harness import golden
from harness.the_command import COMMAND, IS_INSTALLED, PYTHON
from system.options.test_guests import make

pytestmark = [pytest.mark.qemu, pytest.mark.rather_3_1]
#: What the one that is installed and the one of the wheel have of their own.
_OF_AN_INSTALLATION = (
    (re.compile(r"/[^\s(]+/(?:dist|site)-packages\b"), "SITE"),
    (re.compile(r"/[^\s(]+/bin/python\d?\b"), "PYTHON"),
    (re.compile(r"^(Ganeti: +)\d\S*", re.M), r"\1VERSION"),
    (re.compile(r"^(ganeti-hv-kvm: +)\d\S*", re.M), r"\1VERSION"),
)


class Node:
    """A node whose Ganeti is run by the command's own Python."""

    def __init__(self, command: tuple[str, ...], python: tuple[str, ...], code: Path) -> None:
        self.command = command
        self.python = python
        # without a program of its own, which would name another Python
        code.mkdir()
        (code / "ganeti").symlink_to(Path(ganeti.__file__).parent)
        self.code = code
        self.text = ""

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [*self.command, *words, "--ganeti", str(self.code)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")

    def say(self, word: str, *also: str) -> int:
        done = self.call(word, *also)
        said = golden.transcript(done, word) + "\n"
        for place in (Path(ganeti.__file__).parent, self.code / "ganeti", self.code):
            said = said.replace(str(place), "CODE")
        self.text += said
        return done.returncode

    def said(self) -> str:
        text = self.text.replace(settings_file.PATH, "SETTINGS")
        for pattern, shown in _OF_AN_INSTALLATION:
            text = pattern.sub(shown, text)
        return text


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    if IS_INSTALLED:
        made = Node(COMMAND, PYTHON, tmp_path / "code")
    else:
        venv = request.getfixturevalue("venv")
        made = Node((str(venv.root / "bin/ganeti-hv-kvm"),), (venv.python,), tmp_path / "code")
    assert made.call("enable").returncode == 0
    yield made
    # others find an installed one as it was
    made.code = tmp_path / "code"
    assert made.call("enable").returncode == 0


@pytest.fixture
def run(hypervisor) -> Path:
    return Path(type(hypervisor)._ROOT_DIR)


def daemon(node: Node, tmp_path: Path) -> subprocess.Popen[str]:
    """A program of the node daemon's name that has our module."""
    program = tmp_path / "ganeti-noded"
    program.write_text(
        "from ganeti_hv_kvm import _native\nprint(flush=True)\ninput()\n", encoding="utf-8"
    )
    return subprocess.Popen(
        [*node.python, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def test_what_is_said_of_the_module_in_use(node, hypervisor, tmp_path, configured, run):
    """Disabled while a daemon and a guest with options run, and enabled again."""
    made, disks = make(tmp_path, "rng", "disk-iops:500")
    hypervisor.StartInstance(made, disks, True)
    configured(made)
    with daemon(node, tmp_path) as running:
        running.stdout.readline()
        assert node.say("status") == 0
        assert node.say("disable", "--run-dir", str(run)) == 0
        assert node.say("status") == 1
        running.stdin.close()
    # the advice is a restart of it
    assert node.say("status") == 1
    assert node.say("disable", "--run-dir", str(run)) == 0
    assert node.say("enable") == 0
    assert node.say("enable") == 0
    assert node.say("status") == 0
    golden.check("module-in-use.txt", node.said(), run)


def test_what_is_said_of_a_wrong_setting_and_no_ganeti(node, tmp_path, run):
    file = Path(settings_file.PATH)
    file.write_text("[hv-kvm]\nqmp_timeout = soon\nno_such = 1\n", encoding="utf-8")
    try:
        assert node.say("status") == 4
        file.write_text("[hv-kvm]\nqmp_timeout = 10\n", encoding="utf-8")
        assert node.say("status") == 0
    finally:
        file.unlink()
    # first there is no Ganeti, then one that cannot be imported
    node.code = tmp_path / "other"
    node.code.mkdir()
    for word in ("status", "enable"):
        assert node.say(word) == 3
    (node.code / "ganeti").mkdir()
    (node.code / "ganeti/__init__.py").write_text("raise ImportError('broken')", encoding="utf-8")
    for word in ("status", "enable", "disable"):
        assert node.say(word, *(["--run-dir", str(run)] if word == "disable" else [])) != 1
    golden.check("module-wrong.txt", node.said(), run)
