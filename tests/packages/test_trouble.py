"""Nodes in trouble, with the package installed in Debian 12 and 13: what each command says.

The tests of the command (tests/system/cli) make real guests in each kind of trouble, compare what
is said with the golden texts, and carry out the advice. Here they call the installed one. The
Debian 12 is this machine's own, in a layer, for it has Ganeti and QEMU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths
from packages.conftest import LOWER, Root, over

_AMPLE = 1800.0
#: Debian and the Ganeti that it has.
_GANETI = {"12": "3.0", "13": "3.1"}
#: The guests are outside of that root file system, on the node that it belongs to.
_SHARED = ("/dev", "/proc", "/sys", "/tmp", "/run")
_IN_IT = """
    layer=$1 lower=$2 code=$3; shift 3
    # what tests mount later is to be seen inside, too
    mount --make-rshared /
    mount -t overlay -o lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work none $layer/root
    for folder in {shared}; do mount --rbind $folder $layer/root$folder; done
    # the tests name the Ganeti that their guests are made with
    mkdir -p $layer/root$code
    mount --bind $code $layer/root$code
    "$@"
"""


@pytest.fixture(params=_GANETI)
def installed(request: pytest.FixtureRequest, deb: Path) -> Iterator[tuple[Root, str]]:
    """A Debian with Ganeti and the package, and its number."""
    lower = LOWER[request.param]
    if not (lower / "usr/sbin/gnt-cluster").exists():
        pytest.skip(f"no tree of Debian {request.param}: tests/setup makes it")
    for node in over(lower, deb):
        node.run("dpkg -i /mnt/new.deb")
        assert node.run("dpkg --audit").strip() == ""
        yield node, request.param


@pytest.mark.timeout(_AMPLE)
def test_what_each_command_says_and_whether_its_advice_helps(
    installed: tuple[Root, str],
) -> None:
    node, debian = installed
    generation = _GANETI[debian]
    command = f"chroot {node.layer}/root ganeti-hv-kvm"
    script = _IN_IT.format(shared=" ".join(_SHARED))
    tests = [
        str(paths.PROJECT / ".venv/bin/python"), "-m", "pytest", "-q", "-m", "not long",
        str(paths.PROJECT / "tests/system/cli"),
    ]  # fmt: skip
    done = subprocess.run(
        [str(paths.PROJECT / "tests/harness/sandbox"), "bash", "-euc", script, "in_it",
         str(node.layer), str(LOWER[debian]), str(paths.GANETI_CODE[generation]), *tests],
        cwd=paths.PROJECT,
        env={**os.environ, "GANETI_HV_KVM_COMMAND": command, "GANETI_UNDER_TEST": generation},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_AMPLE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert shutil.which("ganeti-hv-kvm", path=str(node.layer / "upper/usr/sbin"))
