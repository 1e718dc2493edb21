"""Ganeti 3.1 with what upstream's development version adds and this package cares about.

That version is not packaged. What code can find of it by its features is put on top of 3.1, in a
tree of links beside the real one; nothing here is upstream's code.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import paths

_ADDED = {
    "constants.py": """
NIC_MODE_EXT = "ext"
NIC_ACTION_UP = "up"
NIC_ACTION_DOWN = "down"
MAX_VIRTIO_NET_QUEUES = 8
""",
    "pathutils.py": """
KVM_NIC_SETUP = KVM_IFUP
del KVM_IFUP
""",
    # Ganeti's own function has no way to add to the environment; env(1) has.
    "hypervisor/hv_base.py": '''
_run_script = ConfigureNIC


def _with_action(action, cmd, extra_env):
    values = {"ACTION": action, **(extra_env or {})}
    return ["env", *[f"{key}={value}" for key, value in values.items()], *cmd]


def ConfigureNIC(cmd, instance, seq, nic, tap, extra_env=None):
    """As before, with ACTION and what the caller adds."""
    _run_script(_with_action(constants.NIC_ACTION_UP, cmd, extra_env), instance, seq, nic, tap)


def DeConfigureNIC(cmd, instance, seq, nic, tap):
    """Tells the script that a NIC has gone."""
    _run_script(_with_action(constants.NIC_ACTION_DOWN, cmd, None), instance, seq, nic, tap)
''',
}


#: The name of this generation, beside "3.0" and "3.1".
GENERATION = "dev"


def code(generation: str, folder: Path) -> Path:
    """Where to import a generation from; this one is made in ``folder``."""
    if generation != GENERATION:
        return paths.GANETI_CODE[generation]
    _make_tree(folder / "code")
    return folder / "code"


def _make_tree(target: Path) -> None:
    source = paths.GANETI_CODE["3.1"] / "ganeti"
    _link_all(source, target / "ganeti")
    _replace_by_folder(source / "hypervisor", target / "ganeti/hypervisor")
    for name, text in _ADDED.items():
        file = target / "ganeti" / name
        file.unlink()
        file.write_text((source / name).read_text() + text)


def _link_all(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name != "__pycache__":
            os.symlink(entry, target / entry.name)


def _replace_by_folder(source: Path, target: Path) -> None:
    target.unlink()
    _link_all(source, target)
