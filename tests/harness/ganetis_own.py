"""Ganeti's own module, and the proof that it is: also where ours is enabled for this Python.

On a machine whose Python has `ganeti-hv-kvm enable`d, `import ganeti.hypervisor.hv_kvm` gives ours
in each process, and a comparison with "the original" would compare ours with itself.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

NAME = "ganeti.hypervisor.hv_kvm"
_OURS = "ganeti_hv_kvm"
_CHECKSUMS = Path("/var/lib/dpkg/info")


class NotTheOriginalError(Exception):
    """What was loaded as Ganeti's original module is not, or not only."""


def be_not_enabled() -> None:
    """Takes the trigger of each hook file out of this process, before Ganeti is imported."""
    sys.meta_path[:] = [one for one in sys.meta_path if not hasattr(one, _OURS)]


def prove(code: Path) -> None:
    """Raises `NotTheOriginalError` unless what is loaded is that of the Ganeti in ``code``."""
    folder = (Path(code) / "ganeti/hypervisor/hv_kvm").resolve()
    loaded = {
        name: module
        for name, module in list(sys.modules.items())
        if name == NAME or name.startswith(NAME + ".")
    }
    if NAME not in loaded:
        raise NotTheOriginalError(f"{NAME} is not loaded")
    for name, module in loaded.items():
        file = Path(str(module.__file__)).resolve()
        if not file.is_relative_to(folder):
            raise NotTheOriginalError(f"{name} is {file}, not a file in {folder}")
        if module.__name__ != name:
            raise NotTheOriginalError(f"{name} calls itself {module.__name__}")
        _prove_content(name, file)
    if loaded[NAME].KVMHypervisor.__module__ not in loaded:
        raise NotTheOriginalError(f"its class is {loaded[NAME].KVMHypervisor.__module__}'s")
    ours = [name for name in sys.modules if name.startswith(f"{_OURS}.hv_kvm")]
    if ours:
        raise NotTheOriginalError(f"beside it there is {ours[0]}")


def _prove_content(name: str, file: Path) -> None:
    content = file.read_bytes()
    if _OURS.encode() in content:
        raise NotTheOriginalError(f"{name}: {file} names {_OURS}")
    expected = _packaged().get(str(file))
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if expected is not None and expected != found:
        raise NotTheOriginalError(f"{name}: {file} is not as Debian's package has it")


def _packaged() -> dict[str, str]:
    """The digests of the files in Debian's packages of Ganeti that this machine has."""
    found = {}
    for sums in _CHECKSUMS.glob("ganeti-*.md5sums"):
        for line in sums.read_text().splitlines():
            digest, _, path = line.partition("  ")
            found["/" + path] = digest
    return found
