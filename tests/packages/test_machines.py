"""Packages for each machine: the same files, and its own machine code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from packages.conftest import deb_for

#: Of elf.h.
_EM_X86_64, _EM_AARCH64 = 62, 183
_MACHINES = {"amd64": _EM_X86_64, "arm64": _EM_AARCH64}
_NATIVE = "usr/lib/python3/dist-packages/ganeti_hv_kvm/_native.abi3.so"


def _run(*argv: str | Path, **rest: object) -> str:
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **rest)  # type: ignore[call-overload]
    return str(done.stdout)


def _unpacked(architecture: str, folder: Path) -> Path:
    _run("dpkg-deb", "-R", deb_for(architecture), folder)
    return folder


@pytest.mark.parametrize(("architecture", "machine"), _MACHINES.items())
def test_machine_code_is_that_of_the_machine(
    architecture: str, machine: int, tmp_path: Path
) -> None:
    assert _run("dpkg-deb", "-f", deb_for(architecture), "Architecture").strip() == architecture
    root = _unpacked(architecture, tmp_path / "root")
    objects = [one for one in root.rglob("*") if one.is_file() and _is_elf(one)]
    assert [str(one.relative_to(root)) for one in objects] == [_NATIVE]
    header = objects[0].read_bytes()[:64]
    # 64 bits, little-endian, a shared object
    assert (header[4], header[5], int.from_bytes(header[16:18], "little")) == (2, 1, 3)
    assert int.from_bytes(header[18:20], "little") == machine
    # Python finds the module by its exported name
    assert b"PyInit__native" in objects[0].read_bytes()


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def test_all_else_is_the_same_on_each_machine(tmp_path: Path) -> None:
    trees = []
    for architecture in _MACHINES:
        root = _unpacked(architecture, tmp_path / architecture)
        trees.append(
            {
                str(path.relative_to(root)): (path.stat().st_mode, _content(path, root))
                for path in root.rglob("*")
            }
        )
    one, other = trees
    assert sorted(one) == sorted(other)
    assert one == other


def _content(path: Path, root: Path) -> bytes:
    """What is in it; not where it names the machine, nor the machine code."""
    name = str(path.relative_to(root))
    if path.is_dir() or name in (_NATIVE, "DEBIAN/md5sums"):
        return b""
    lines = path.read_bytes().splitlines(keepends=True)
    if name == "DEBIAN/control":
        lines = [line for line in lines if not line.startswith((b"Architecture:", b"Installed-"))]
    if name.endswith(".dist-info/WHEEL"):
        lines = [line for line in lines if not line.startswith(b"Tag:")]
    return b"".join(lines)
