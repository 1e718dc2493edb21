"""What the comparisons call the original is Ganeti's, also where this machine has ours enabled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

# A machine whose Python has the wheel installed and enabled; the mounts end with the command.
ENABLED = r"""
set -e
mount -t tmpfs tmpfs "$SITE"
mount -t tmpfs tmpfs /usr/local/bin
"$PIP_PYTHON" -m pip --python /usr/bin/python3 install -q --no-deps --no-index \
  --break-system-packages --root-user-action=ignore --disable-pip-version-check "$WHEEL"
/usr/local/bin/ganeti-hv-kvm enable >/dev/null
exec "$@"
"""
LOAD = """
import sys
sys.path[0:0] = [{code!r}, {tests!r}]
from pathlib import Path
from harness import ganetis_own
{before}
import ganeti.hypervisor.hv_kvm as loaded
try:
    ganetis_own.prove(Path({code!r}))
except ganetis_own.NotTheOriginalError as err:
    print("not the original:", err)
else:
    print("the original:", loaded.__file__)
"""
CODE = paths.GANETI_CODE["3.0"]


def run_enabled(*command: str) -> str:
    (wheel, *_) = sorted((paths.WORK / "dist").glob("*.whl"))
    version = "{}.{}".format(*sys.version_info[:2])
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", ENABLED, "bash", *command],
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
    return done.stdout


def load(code: Path, before: str) -> list[str]:
    program = LOAD.format(code=str(code), tests=str(paths.PROJECT / "tests"), before=before)
    return ["/usr/bin/python3", "-c", program]


def test_ours_is_not_taken_for_the_original() -> None:
    assert "not the original: ganeti.hypervisor.hv_kvm is /usr/local" in run_enabled(
        *load(CODE, "")
    )


def test_the_hook_is_without_effect() -> None:
    told = run_enabled(*load(CODE, "ganetis_own.be_not_enabled()"))
    assert told.startswith(f"the original: {CODE}/ganeti/hypervisor/hv_kvm/__init__.py")


@pytest.mark.parametrize("change", ["import ganeti_hv_kvm", "# a remark of somebody"])
def test_a_changed_file_is_not_the_original(tmp_path: Path, change: str) -> None:
    """Neither one that gives ours, nor any other than that of Debian's package."""
    script = f"""
set -e
cp -a {CODE}/ganeti/hypervisor/hv_kvm {tmp_path}/copy
echo '{change}' | cat - {CODE}/ganeti/hypervisor/hv_kvm/netdev.py >{tmp_path}/copy/netdev.py
mount --bind {tmp_path}/copy {CODE}/ganeti/hypervisor/hv_kvm
export PYTHONPATH={paths.PROJECT}/python
exec "$@"
"""
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", *load(CODE, "")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("not the original: ganeti.hypervisor.hv_kvm.netdev: ")


# Each program of the contract tests that loads it, run where ours is enabled.
@pytest.mark.parametrize(
    ("program", "arguments", "given"),
    [
        ("contract/one_module.py", [str(CODE), "original"], '[["facts", []]]'),
        ("contract/command_line/driver.py", [str(CODE), "help"], '["QEMU emulator version 7.2"]'),
    ],
)
def test_programs_that_load_it(program: str, arguments: list[str], given: str) -> None:
    command = ["/usr/bin/python3", str(paths.PROJECT / "tests" / program), *arguments]
    told = run_enabled("bash", "-c", f"echo '{given}' | \"$@\"", "bash", *command)
    assert "ganeti_hv_kvm" not in told
    assert told.strip()
