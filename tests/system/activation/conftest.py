"""A virtual environment of Ganeti's Python with the real wheel in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import paths

SITE = "lib/python{}.{}/site-packages".format(*sys.version_info[:2])


@dataclass(frozen=True)
class Venv:
    root: Path

    @property
    def python(self) -> str:
        return str(self.root / "bin/python")

    @property
    def package(self) -> Path:
        return self.root / SITE / "ganeti_hv_kvm"

    @property
    def hook(self) -> Path:
        return self.root / SITE / "ganeti-hv-kvm.pth"

    def files(self) -> dict[str, int]:
        """All files, with the time of their last change."""
        found = (path for path in self.root.rglob("*") if not path.is_dir())
        return {str(path.relative_to(self.root)): path.lstat().st_mtime_ns for path in found}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `ganeti-hv-kvm`."""
        return self.run(str(self.root / "bin/ganeti-hv-kvm"), *arguments)

    def ganeti(self, generation: str, code: str) -> subprocess.CompletedProcess[str]:
        """Run code as one of Ganeti's programs would."""
        start = f"import sys; sys.path[0] = {str(paths.GANETI_CODE[generation])!r}\n"
        return self.run(self.python, "-c", start + code)

    def class_module(self, generation: str) -> str:
        code = "from ganeti import hypervisor as h; print(h.GetHypervisorClass('kvm').__module__)"
        done = self.ganeti(generation, code)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def status(self, generation: str = "3.0") -> tuple[int, dict[str, Any]]:
        """The exit status and what it says about this environment's Python."""
        code = str(paths.GANETI_CODE[generation])
        done = self.command("status", "--json", "--ganeti", code, "--python", self.python)
        answer: dict[str, Any] = json.loads(done.stdout)["ganeti"]
        return done.returncode, answer


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, to be copied: installing takes longer than most tests."""
    root = tmp_path_factory.mktemp("installed") / "venv"
    make = ["/usr/bin/python3", "-m", "venv", "--system-site-packages", "--without-pip", str(root)]
    subprocess.run(make, check=True)
    install = [
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        "--disable-pip-version-check",
    ]
    pip = [sys.executable, "-m", "pip", "--python", str(root / "bin/python")]
    subprocess.run([*pip, *install, str(wheel)], check=True)
    return root


@pytest.fixture
def venv(installed: Path, tmp_path: Path) -> Venv:
    root = tmp_path / "venv"
    shutil.copytree(installed, root, symlinks=True)
    command = root / "bin/ganeti-hv-kvm"
    text = command.read_text()
    assert text.startswith(f"#!{installed}/")
    command.write_text(text.replace(str(installed), str(root)))
    return Venv(root)


@pytest.fixture
def enabled(venv: Venv) -> Iterator[Venv]:
    done = venv.command("enable")
    assert done.returncode == 0, done.stderr
    yield venv
    assert venv.command("disable").returncode == 0
    assert not venv.hook.exists()
