"""Where enabling cannot work: said clearly, and nothing is changed."""

from __future__ import annotations

import subprocess

import pytest

from harness import paths

from .conftest import Venv

pytestmark = pytest.mark.only_3_0


def in_mounts(venv: Venv, mounts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with mounts that end with it."""
    script = f'set -e; {mounts}; exec "$@"'
    command = [str(venv.root / "bin/ganeti-hv-kvm"), *arguments]
    return venv.run("unshare", "--mount", "bash", "-c", script, "bash", *command)


def test_a_directory_that_cannot_be_written(venv: Venv) -> None:
    site = venv.hook.parent
    mounts = f"mount --bind {site} {site}; mount -o remount,ro,bind {site}"
    done = in_mounts(venv, mounts, "enable")
    assert done.returncode == 3
    assert done.stderr == f"ganeti-hv-kvm: cannot write {venv.hook}: Read-only file system\n"
    assert done.stdout == ""

    assert venv.command("enable").returncode == 0
    done = in_mounts(venv, mounts, "disable")
    assert done.returncode == 3
    assert done.stderr == f"ganeti-hv-kvm: cannot remove {venv.hook}: Read-only file system\n"


def test_no_ganeti_on_this_node(venv: Venv) -> None:
    before = venv.files()
    mounts = "mount -t tmpfs tmpfs /usr/share/ganeti"
    done = in_mounts(venv, mounts, "enable")
    assert done.returncode == 3
    assert "Ganeti cannot be imported: ModuleNotFoundError: No module named" in done.stderr
    assert venv.files() == before
    assert in_mounts(venv, mounts, "status").returncode == 3
    done = in_mounts(venv, mounts, "disable")
    assert done.returncode == 0


def test_a_directory_without_ganeti(venv: Venv) -> None:
    for command in ("enable", "status"):
        done = venv.command(command, "--ganeti", "/usr/share/doc")
        assert done.returncode == 3
        assert "no Ganeti in /usr/share/doc" in done.stderr
    assert not venv.hook.exists()


def test_a_python_that_does_not_exist(venv: Venv) -> None:
    done = venv.command("status", "--python", "/nowhere/python3")
    assert done.returncode == 3
    assert "cannot run /nowhere/python3: No such file or directory" in done.stderr


def test_a_package_outside_of_site_directories(venv: Venv) -> None:
    site = venv.hook.parent
    elsewhere = venv.root / "elsewhere"
    site.rename(elsewhere)
    site.mkdir()
    code = f"import sys; sys.path.insert(0, {str(elsewhere)!r})\n"
    code += "from ganeti_hv_kvm.cli import site_hook\n"
    code += "try:\n site_hook.write()\nexcept site_hook.HookError as err:\n print(err)"
    done = venv.run(venv.python, "-c", code)
    assert f"installed in {elsewhere}, where this Python reads no .pth files" in done.stdout
    assert list(site.iterdir()) == []


def test_enabling_what_cannot_load_is_refused(venv: Venv) -> None:
    next(venv.package.glob("_native*.so")).write_bytes(b"not a library")
    before = venv.files()
    done = venv.command("enable", "--ganeti", str(paths.GANETI_CODE["3.0"]))
    assert done.returncode == 3
    assert "not enabled, it would not work here" in done.stderr
    assert "invalid ELF header" in done.stderr or "file too short" in done.stderr
    assert venv.files() == before


@pytest.mark.parametrize("arguments", [[], ["restart"], ["enable", "--python", "x"]])
def test_wrong_usage(venv: Venv, arguments: list[str]) -> None:
    assert venv.command(*arguments).returncode == 2
