"""Runs cases under each Ganeti and QEMU, with each module, and judges what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import node, paths
from matrix.parameters import Case

_SERVER = Path(__file__).with_name("node_process.py")
Outcome = dict[str, Any]


class Setting(NamedTuple):
    """A Ganeti and a QEMU."""

    generation: str
    qemu: Path
    name: str


SETTINGS = (
    Setting("3.0", paths.QEMU, "3.0, QEMU 7.2"),
    Setting("3.1", paths.QEMU, "3.1, QEMU 7.2"),
    Setting("3.1", paths.QEMU_10, "3.1, QEMU 10"),
)


def outcomes(setting: Setting, module: str, cases: Sequence[Case]) -> list[Outcome]:
    """What became of each case; a process of its own runs them one after the other."""
    node.require_sandbox()
    done = subprocess.run(
        [sys.executable, str(_SERVER), setting.generation, module, str(setting.qemu)],
        input=json.dumps(list(cases)),
        capture_output=True,
        text=True,
        cwd=paths.PROJECT,
        timeout=60 + 20 * len(cases),
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(found) != len(cases):
        raise RuntimeError(
            f"{setting.name}, {module}: {len(found)} outcomes\n{done.stderr[-3000:]}"
        )
    if folder := os.environ.get("MATRIX_OUTCOMES"):
        path = Path(folder, f"{setting.name}, {module}.json".replace(" ", "_"))
        path.write_text(json.dumps(found, indent=1))
    return found


#: Begins of the names of cases of which only QEMU, started on this node, can tell: the
#: administrator's own words for it, hardware and files of the node.
QEMUS_TO_TELL = (
    "kvm_extra=",
    "cpu_type=qemu64,+no-such-flag",
    "usb_devices=host:1.1",
    "usb_devices=braille",
    "usb_devices=disk:/nowhere",
    "usb_devices=u2f",
)
# A QEMU that is called by a script, as this one of another Debian's is: what lies beside it, and
# whether it uses KVM unasked, is the script's matter.
_SCRIPTS_TO_TELL = ("keymap=no-such-layout", "cpu_type=host")


def is_qemus_word(outcome: Outcome) -> bool:
    """Whether it is QEMU, and not the module, that says what is wrong."""
    return outcome["stage"] == "start" and "QEMU" in outcome["text"] and "said" in outcome["text"]


def fault(
    ours: Outcome, original: Outcome | None, *, must_start: bool, by_script: bool = False
) -> str | None:
    """What is wrong with an outcome of ours; None if nothing is.

    Args:
        original: the outcome of the same case with Ganeti's own module.
        must_start: whether a guest like this is nothing special.
        by_script: its QEMU is called by a script.
    """
    if ours["stage"] == "runs":
        return None
    said = f"{ours['stage']}: {ours['text']}"
    if "HypervisorError" not in ours["error"]:
        return f"no HypervisorError but {ours['error'][0]}: {said}"
    if ours["left"]:
        return f"it left {ours['left']}: {said}"
    if original and original["stage"] == "runs":
        return f"the original starts it, ours does not: {said}"
    if must_start:
        return f"ours does not start it: {said}"
    left = QEMUS_TO_TELL + (_SCRIPTS_TO_TELL if by_script else ())
    if is_qemus_word(ours) and not ours["id"].startswith(left):
        return f"refused in QEMU's words alone: {said}"
    return None
