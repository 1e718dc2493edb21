"""Install, enable, use, disable: as an operator does it, for Ganeti's real programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import paths

from .conftest import Venv

pytestmark = [pytest.mark.only_3_0, pytest.mark.one_in(2)]

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


def pip(venv: Venv, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", venv.python, "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True)


def install(venv: Venv, wheel: Path, *options: str) -> None:
    pip(venv, "install", "-q", "--no-deps", "--no-index", *options, str(wheel))


def test_a_hook_that_outlives_its_package_is_silent(venv: Venv) -> None:
    assert venv.command("enable").returncode == 0
    pip(venv, "uninstall", "-q", "-y", "ganeti-hv-kvm")
    assert not venv.package.exists()
    assert venv.hook.exists()
    assert venv.class_module("3.0") == ORIGINAL


@pytest.mark.parametrize("generation", GENERATIONS)
def test_installed_again_it_is_not_enabled(venv: Venv, wheel: Path, generation: str) -> None:
    assert venv.command("enable").returncode == 0
    pip(venv, "uninstall", "-q", "-y", "ganeti-hv-kvm")
    install(venv, wheel)
    pip(venv, "list", "-q")  # a pip that changes nothing
    code = "from ganeti import hypervisor as h; print(h.GetHypervisorClass('kvm').__module__)"
    done = venv.ganeti(generation, code)
    assert done.stdout.strip() == ORIGINAL
    status, answer = venv.status(generation)
    assert (status, answer["module"]) == (1, "original")
    assert "installed anew since it was enabled" in answer["why"]
    assert "Enabled, by" in venv.command("enable").stdout
    assert venv.class_module(generation) == OURS


@pytest.mark.parametrize("option", ["--force-reinstall", "--upgrade"])
def test_an_upgrade_stays_enabled(enabled: Venv, wheel: Path, tmp_path: Path, option: str) -> None:
    before = enabled.hook.read_text()
    install(enabled, another_version(wheel, tmp_path) if option == "--upgrade" else wheel, option)
    assert enabled.hook.read_text() != before
    assert enabled.class_module("3.0") == OURS


def another_version(wheel: Path, folder: Path) -> Path:
    """The same files as a later version."""
    tree = folder / "tree"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree)
    version = wheel.name.split("-")[1]
    for path in tree.glob("*-*.*"):
        path.rename(path.with_name(path.name.replace(version, "99.0.0")))
    (info,) = tree.glob("*.dist-info")
    for name in ("METADATA", "RECORD"):
        text = (info / name).read_text().replace(f"Version: {version}", "Version: 99.0.0")
        (info / name).write_text(text.replace(f"-{version}.", "-99.0.0."))
    for path in tree.glob("*.data/scripts/*"):
        path.chmod(0o755)
    made = folder / wheel.name.replace(version, "99.0.0")
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(tree.rglob("*")):
            archive.write(path, path.relative_to(tree))
    return made


def test_a_hook_enables_its_own_installation_alone(enabled: Venv, tmp_path: Path) -> None:
    """A second environment that sees the first one's hook, with a wheel of its own."""
    second = tmp_path / "second"
    make = ["/usr/bin/python3", "-m", "venv", "--system-site-packages", "--without-pip"]
    subprocess.run([*make, str(second)], check=True)
    also = Venv(second)
    shutil.copytree(enabled.package, also.package)
    (also.hook.parent / "first.pth").write_text(enabled.hook.read_text())
    assert also.class_module("3.0") == ORIGINAL


def test_another_version_of_python_gets_a_clear_word(venv: Venv) -> None:
    """As after a distribution upgrade: the command is there, what it imports is not."""
    site = venv.hook.parent
    elsewhere = site.parent.with_name("python3.99") / "site-packages"
    elsewhere.mkdir(parents=True)
    shutil.move(venv.package, elsewhere)
    for arguments in (["status"], ["enable"], ["disable"], ["status", "--json"]):
        done = venv.command(*arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert "Traceback" not in done.stderr
        assert f"not installed for {venv.python}" in done.stderr
        assert f"It is in {elsewhere}, which belongs to another version of Python" in done.stderr
        assert "-m pip install --break-system-packages" in done.stderr


# What only a Python of the whole system shows; the mounts end with the command.
MACHINE_THAT_HAS_IT = r"""
set -e
mount -t tmpfs tmpfs "$SITE"
mount -t tmpfs tmpfs /usr/local/bin
"$PIP_PYTHON" -m pip --python /usr/bin/python3 install -q --no-deps --no-index \
  --break-system-packages --root-user-action=ignore --disable-pip-version-check "$WHEEL"
"""
SYSTEM_WIDE = (
    MACHINE_THAT_HAS_IT
    + r"""
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
)


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


ENABLED = "/usr/local/bin/ganeti-hv-kvm enable >/dev/null\n"
DEMO = r"""
set -e
cp -a --parents tests/setup/enabled_venv.sh tests/setup/common.sh .work/dist "$COPY"
mkdir -p "$COPY/.work/stamps"
ln -s "$PWD/.venv" "$COPY/.venv"
"$COPY/tests/setup/enabled_venv.sh"
cd /
"$COPY/.work/enabled/bin/ganeti-hv-kvm" status --python "$COPY/.work/enabled/bin/python"
"""


def test_the_demos_environment_on_a_machine_that_has_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Its pip sees the system's packages, and must not call the wheel installed already."""
    version = "{}.{}".format(*sys.version_info[:2])
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", MACHINE_THAT_HAS_IT + ENABLED + DEMO],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SITE": f"/usr/local/lib/python{version}/dist-packages",
            "WHEEL": str(wheel),
            "PIP_PYTHON": sys.executable,
            "COPY": str(tmp_path),
        },
        cwd=paths.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"native part:   {tmp_path}/.work/enabled/lib" in done.stdout
    assert "because:       enabled by" in done.stdout
