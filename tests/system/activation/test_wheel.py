"""Install, enable, use, disable: as an operator does it, for Ganeti's real programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

from .conftest import Venv

GENERATIONS = list(paths.GANETI_CODE)
OURS = "ganeti_hv_kvm.hv_kvm.hypervisor"
ORIGINAL = "ganeti.hypervisor.hv_kvm"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_installing_alone_changes_nothing(venv: Venv, generation: str) -> None:
    assert venv.class_module(generation) == ORIGINAL
    status, answer = venv.status(generation)
    assert (status, answer["module"], answer["why"]) == (1, "original", "not enabled")


SAME_OBJECTS = """
import ganeti.hypervisor
from unittest import mock
for name in ("monitor", "netdev", "validation", "kvm_runtime", "kvm_utils", "command_line.storage"):
    theirs = __import__("ganeti.hypervisor.hv_kvm." + name, fromlist=["x"])
    ours = __import__("ganeti_hv_kvm.hv_kvm." + name, fromlist=["x"])
    assert theirs is ours, name
import ganeti_hv_kvm.hv_kvm
assert ganeti.hypervisor.hv_kvm is ganeti_hv_kvm.hv_kvm
with mock.patch("ganeti.hypervisor.hv_kvm.OpenTap", "patched"):
    assert ganeti_hv_kvm.hv_kvm.OpenTap == "patched"
assert ganeti.hypervisor.GetHypervisorClass("kvm") is ganeti_hv_kvm.hv_kvm.KVMHypervisor
"""


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("first", ["ganeti.hypervisor", "ganeti_hv_kvm.hv_kvm"])
def test_enabled_gives_the_same_objects_under_both_names(
    enabled: Venv, generation: str, first: str
) -> None:
    assert enabled.class_module(generation) == OURS
    done = enabled.ganeti(generation, f"import {first}\n{SAME_OBJECTS}")
    assert (done.returncode, done.stderr) == (0, "")
    status, answer = enabled.status(generation)
    assert (status, answer["module"]) == (0, "replacement")
    assert answer["why"] == f"enabled by {enabled.hook}"
    assert answer["facts"]["ganeti_version"].startswith(generation)
    assert Path(answer["facts"]["native"]).parent == enabled.package


def test_disable_leaves_nothing_behind(venv: Venv) -> None:
    venv.command("status")
    before = venv.files()
    assert venv.command("enable").returncode == 0
    assert set(venv.files()) - set(before) == {str(venv.hook.relative_to(venv.root))}
    assert venv.class_module("3.0") == OURS
    assert venv.command("disable").returncode == 0
    assert venv.files() == before
    assert venv.class_module("3.0") == ORIGINAL


def test_enable_and_disable_can_be_repeated(venv: Venv) -> None:
    assert "Enabled, by" in venv.command("enable").stdout
    first = venv.files()
    again = venv.command("enable")
    assert (again.returncode, "Enabled already, by" in again.stdout) == (0, True)
    assert venv.files() == first
    assert f"Removed {venv.hook}." in venv.command("disable").stdout
    again = venv.command("disable")
    assert (again.returncode, "Was not enabled" in again.stdout) == (0, True)


def test_the_hook_can_be_read_by_all_users(enabled: Venv) -> None:
    assert enabled.hook.stat().st_mode & 0o777 == 0o644


def test_enabling_says_that_debians_python_is_another(venv: Venv) -> None:
    told = venv.command("enable").stdout
    assert f"this command belongs to another Python, {venv.python}" in told
    assert "run by /usr/bin/python3, get their own KVM module" in told
    assert "restart the node daemon" in told
    human = venv.command("status")
    assert human.returncode == 1
    assert "KVM module:    replacement" in human.stdout
    assert "KVM module:    original" in human.stdout


@pytest.mark.parametrize("program", ["gnt-cluster", "ganeti-noded", "ganeti-watcher"])
def test_ganetis_own_programs(enabled: Venv, program: str) -> None:
    # -v tells every import
    done = enabled.run(enabled.python, "-v", f"/usr/sbin/{program}", "--version")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "import 'ganeti_hv_kvm.hv_kvm.hypervisor'" in done.stderr


def test_a_hook_that_outlives_its_package_is_silent(venv: Venv) -> None:
    assert venv.command("enable").returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", venv.python]
    subprocess.run([*pip, "uninstall", "-q", "-y", "ganeti-hv-kvm"], check=True)
    assert not venv.package.exists()
    assert venv.hook.exists()
    assert venv.class_module("3.0") == ORIGINAL


# What only a Python of the whole system shows; the mounts end with the command.
SYSTEM_WIDE = r"""
set -e
mount -t tmpfs tmpfs "$SITE"
mount -t tmpfs tmpfs /usr/local/bin
"$PIP_PYTHON" -m pip --python /usr/bin/python3 install -q --no-deps --no-index \
  --break-system-packages --root-user-action=ignore --disable-pip-version-check "$WHEEL"
cd /
ask() { /usr/sbin/gnt-cluster --version >/dev/null; /usr/local/bin/ganeti-hv-kvm status; }
ask && exit 1
/usr/local/bin/ganeti-hv-kvm enable
echo "--- enabled"
ask
echo "--- disabled"
/usr/local/bin/ganeti-hv-kvm disable
ask && exit 1
exit 0
"""


def test_debians_own_python(wheel: Path) -> None:
    version = "{}.{}".format(*sys.version_info[:2])
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", SYSTEM_WIDE],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SITE": f"/usr/local/lib/python{version}/dist-packages",
            "WHEEL": str(wheel),
            "PIP_PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, rest = done.stdout.split("--- enabled")
    enabled, disabled = rest.split("--- disabled")
    assert "because:       not enabled" in before
    assert "run by /usr/bin/python3, get ganeti-hv-kvm's KVM module" in before
    assert "another Python" not in done.stdout
    assert "KVM module:    replacement" in enabled
    assert "KVM module:    original" in disabled
