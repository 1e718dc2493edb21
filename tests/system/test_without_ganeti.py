"""The package alone, in a virtual environment without Ganeti: TAP devices and QMP."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness import paths

pytestmark = pytest.mark.only_3_0


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("alone") / "venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(root)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(root / "bin/python")]
    options = ["-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    return str(root / "bin/python")


def run(python: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I: nothing but this environment is seen
    command = [python, "-I", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_no_ganeti(python):
    assert "ModuleNotFoundError" in run(python, "import ganeti").stderr


def test_importing_is_cheap(python):
    done = run(
        python,
        """
        import sys
        import ganeti_hv_kvm
        assert "ganeti_hv_kvm._native" not in sys.modules
        print(ganeti_hv_kvm.__version__)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_a_tap_is_opened(python):
    done = run(
        python,
        """
        import os
        import ganeti_hv_kvm
        name, fd = ganeti_hv_kvm._OpenTap(vnet_hdr=True)
        assert isinstance(name, str) and os.path.exists(f"/sys/class/net/{name}"), name
        assert not os.get_inheritable(fd)
        os.close(fd)
        assert not os.path.exists(f"/sys/class/net/{name}")
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_qemu_is_asked(python, tmp_path):
    socket = tmp_path / "qmp"
    qemu = [str(paths.QEMU), "-machine", "none", "-display", "none"]
    with subprocess.Popen([*qemu, "-qmp", f"unix:{socket},server,wait=off"]) as process:
        try:
            done = run(
                python,
                """
                import sys, time
                from ganeti_hv_kvm import QmpConnection
                deadline = time.monotonic() + 10
                while True:
                    try:
                        with QmpConnection(sys.argv[1]) as qmp:
                            print(qmp.execute_qmp("query-status")["status"], qmp.version[0])
                        break
                    except Exception:
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.05)
                """,
                str(socket),
            )
        finally:
            process.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    status, major = done.stdout.split()
    assert status == "running"
    assert int(major) >= 7


def test_errors_have_the_names_that_ganeti_gives_them(python):
    done = run(
        python,
        """
        from ganeti_hv_kvm import QmpConnection, errors
        try:
            QmpConnection("/no/such/socket").connect()
        except errors.HypervisorError as err:
            print(type(err).__name__, err)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("QmpConnectError ")
    assert "/no/such/socket" in done.stdout


def test_the_hypervisor_says_that_it_needs_ganeti(python):
    done = run(python, "import ganeti_hv_kvm.hv_kvm")
    assert done.returncode == 1
    assert "No module named 'ganeti'" in done.stderr
