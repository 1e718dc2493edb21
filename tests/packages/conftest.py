"""Root file systems of Debian with Ganeti in them, each test with a layer of its own over one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths

WORK = paths.PROJECT / ".work"
LOWER = {"12": Path("/"), "13": WORK / "cluster/trixie", "unstable": WORK / "cluster/sid"}
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "bash", "-euc")
HOOK = "/usr/lib/python3/dist-packages/ganeti-hv-kvm.pth"


class Root:
    """A Debian in a layer over `lower`; each command runs in namespaces of its own."""

    def __init__(self, lower: Path, layer: Path) -> None:
        self.layer = layer
        self._lower = lower
        self._binds = ""
        for name in ("upper", "work", "root", "files"):
            (layer / name).mkdir()

    def bind(self, outside: Path, inside: str) -> None:
        """Show a directory of this machine's in it, for every command that follows."""
        place = f"$here/root{inside}"
        self._binds += f"mkdir -p {place}; mount --bind {outside} {place}\n"

    def run(self, command: str, status: int = 0, seconds: float = 900) -> str:
        """Give what a shell's command prints; it must end with this exit status."""
        script = f"""
            here={self.layer}
            layers=lowerdir={self._lower},upperdir=$here/upper,workdir=$here/work
            mount -t overlay -o $layers none $here/root
            mount -t tmpfs none $here/root/mnt
            mount --bind $here/files $here/root/mnt
            mount -t proc proc $here/root/proc
            {self._binds}
            mount --rbind /dev $here/root/dev
            exec chroot $here/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \\
                LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive bash -c "$0"
        """
        done = subprocess.run(
            [*_NAMESPACES, script, command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def has(self, path: str) -> bool:
        """Tell whether there is such a file; a pattern may name several."""
        return self.run(f"ls -d {path} >/dev/null 2>&1 && echo yes || echo no").strip() == "yes"


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package of this machine, as `make test-packages` made it."""
    return deb_for("amd64")


def deb_for(architecture: str) -> Path:
    """The package for an architecture of Debian's."""
    (found,) = (WORK / "debs").glob(f"ganeti-hv-kvm_*_{architecture}.deb")
    return found


@pytest.fixture(params=LOWER)
def root(request: pytest.FixtureRequest, deb: Path) -> Iterator[Root]:
    """A Debian with Ganeti; the package is in /mnt."""
    lower = LOWER[request.param]
    if not (lower / "usr/sbin/gnt-cluster").exists():
        pytest.skip(f"no tree of Debian {request.param}: tests/setup/cluster_system.sh makes it")
    yield from over(lower, deb)


def over(lower: Path, deb: Path) -> Iterator[Root]:
    """A layer over a root file system, with the package in /mnt; it is gone afterwards."""
    # Layers of one file system must not nest: beside the project, on a file system of its own.
    layer = Path(f"/dev/shm/ganeti-hv-kvm-packages-{os.getpid()}")
    layer.mkdir()
    try:
        made = Root(lower, layer)
        shutil.copy(deb, layer / "files/new.deb")
        yield made
    finally:
        shutil.rmtree(layer)
