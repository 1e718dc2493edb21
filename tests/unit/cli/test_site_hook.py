"""The hook file: written whole or not at all, and removed without a trace."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ganeti_hv_kvm.cli import site_hook


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site directory in which the package is installed."""
    (tmp_path / "ganeti_hv_kvm-0.1.0.dist-info").mkdir()
    metadata_file = tmp_path / "ganeti_hv_kvm-0.1.0.dist-info/METADATA"
    metadata_file.write_text("Name: ganeti-hv-kvm\nVersion: 0.1.0\n")
    found = metadata.Distribution.at(metadata_file.parent)
    monkeypatch.setattr(site_hook.metadata, "distribution", lambda name: found)
    monkeypatch.setattr(site_hook.site, "getsitepackages", lambda: [str(tmp_path), "/nowhere"])
    monkeypatch.setattr(site_hook.site, "ENABLE_USER_SITE", False)
    return tmp_path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.is_file())


def test_write_and_remove(directory: Path) -> None:
    path, changed = site_hook.write()
    assert (path, changed) == (directory / "ganeti-hv-kvm.pth", True)
    assert site_hook.write() == (path, False)
    assert names(directory) == ["ganeti-hv-kvm.pth"]
    assert site_hook.remove() == [path]
    assert site_hook.remove() == []
    assert names(directory) == []


def test_an_older_hook_is_replaced(directory: Path) -> None:
    (directory / "ganeti-hv-kvm.pth").write_text("import something_else\n")
    path, changed = site_hook.write()
    assert changed
    assert "something_else" not in path.read_text()


@pytest.mark.parametrize("kind", ["binary", "pipe", "endless", "dangling"])
def test_what_is_no_hook_is_replaced(directory: Path, kind: str) -> None:
    """Fault: a traceback, or a command without an end."""
    path = directory / "ganeti-hv-kvm.pth"
    if kind == "binary":
        path.write_bytes(b"\xff\xfe\0")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "endless" else "/nowhere/x")
    assert site_hook.write() == (path, True)
    assert path.is_file()
    assert not path.is_symlink()
    assert site_hook.write() == (path, False)


def test_a_folder_in_its_place_is_left(directory: Path) -> None:
    (directory / "ganeti-hv-kvm.pth").mkdir()
    with pytest.raises(site_hook.HookError, match=r"cannot write .*Is a directory"):
        site_hook.write()
    with pytest.raises(site_hook.HookError, match=r"cannot remove .*Is a directory"):
        site_hook.remove()


def test_others_may_read_it_whatever_the_umask(directory: Path) -> None:
    previous = os.umask(0o077)
    try:
        path, _ = site_hook.write()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_write_leaves_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(site_hook.os, "replace", full)
    with pytest.raises(site_hook.HookError, match=r"cannot write .*pth: No space left on device"):
        site_hook.write()
    assert names(directory) == []


def test_what_an_interrupted_write_left_is_removed(directory: Path) -> None:
    (directory / ".ganeti-hv-kvm-x1y2").write_text("half")
    assert site_hook.remove() == [directory / ".ganeti-hv-kvm-x1y2"]


def test_not_in_a_site_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_hook.site, "getsitepackages", lambda: ["/nowhere"])
    with pytest.raises(site_hook.HookError, match=r"reads no \.pth files"):
        site_hook.write()
    assert names(directory) == []


def test_not_installed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(site_hook.metadata, "distribution", missing)
    with pytest.raises(site_hook.HookError, match="not installed for this Python"):
        site_hook.write()


def test_python_takes_the_hook_without_a_word(directory: Path) -> None:
    path, _ = site_hook.write()
    code = f"import site, sys; site.addpackage({str(directory)!r}, {path.name!r}, set())\n"
    code += "trigger = sys.meta_path[0]\n"
    code += "assert trigger.ganeti_hv_kvm\n"
    code += "assert trigger.find_spec('json') is None\n"
    # Here the package cannot be imported at all.
    code += "assert trigger.find_spec('ganeti.hypervisor.hv_kvm', None, None) is None\n"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd="/", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_hook_answers_the_import_that_wakes_it(directory: Path, tmp_path: Path) -> None:
    """Python 3.14 goes through a copy of sys.meta_path: what is added meanwhile comes too late."""
    path, _ = site_hook.write()
    package = tmp_path / "modules/ganeti_hv_kvm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "activation.py").write_text(
        "class Finder:\n"
        "    def find_spec(self, *asked):\n"
        "        return asked\n"
        "def install(installation, directory):\n"
        "    return Finder()\n"
    )
    code = f"import site, sys; site.addpackage({str(directory)!r}, {path.name!r}, set())\n"
    code += f"sys.path.insert(0, {str(package.parent)!r})\n"
    code += "asked = ('ganeti.hypervisor.hv_kvm', ['place'], None)\n"
    code += "assert sys.meta_path[0].find_spec(*asked) == asked\n"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd="/", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
