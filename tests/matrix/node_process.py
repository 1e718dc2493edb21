"""Starts cases on a node of one generation, with one module and one QEMU, in a process of its own.

    node_process.py GENERATION MODULE QEMU < cases.json > outcomes.jsonl

An outcome is a line of JSON: "id", "stage" (where it ended: "syntax", "validate", "start" or
"runs"), "error" (the class of what was raised, and its bases), "text", and "left" (what a failed
start left).
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import instance, leftovers, node, two_nodes

_STAGES = ("syntax", "validate", "start", "runs")
_SETTLES = 0.15  # seconds after which a QEMU that is to die at once has died


def _prepare(made: node.Node) -> Path:
    """A folder with images and a password, and a pool of one user."""
    from ganeti import constants, pathutils

    folder = made.root / "srv"
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("first.iso", "second.iso", "floppy.img", "stick.img"):
        (folder / name).write_bytes(bytes(1474560))
    (folder / "password").write_text("secret\n")
    nobody = pwd.getpwnam("nobody").pw_uid
    Path(pathutils.DATA_DIR, f"ssconf_{constants.SS_UID_POOL}").write_text(f"{nobody}-{nobody}\n")
    os.makedirs(pathutils.UIDPOOL_LOCKDIR, exist_ok=True)
    return folder


def _filled(value: Any, folder: Path) -> Any:
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def _make(case: dict[str, Any], number: int, folder: Path, qemu: str) -> tuple[Any, list[Any]]:
    hvparams = {name: _filled(value, folder) for name, value in case["hvparams"].items()}
    disks = [instance.disk(folder, index) for index in range(case["disks"])]
    made = instance.instance(
        f"g{number}.example.com",
        nics=[instance.nic(index) for index in range(case["nics"])],
        disks=disks,
        memory=128,
        vcpus=case["vcpus"],
        **{"kvm_path": qemu, **hvparams},
    )
    made.network_port = 11000 + number
    return made, disks


def _run(hypervisor: Any, made: Any, disks: list[Any], case: dict[str, Any]) -> Iterator[str]:
    """Gives the name of each stage before it is tried."""
    yield "syntax"
    type(hypervisor).CheckParameterSyntax(made.hvparams)
    yield "validate"
    type(hypervisor).ValidateParameters(made.hvparams)
    yield "start"
    hypervisor.StartInstance(made, disks, case["paused"])
    time.sleep(_SETTLES)
    monitor = Path(type(hypervisor)._InstanceKvmdMonitor(made.name))
    state = two_nodes.raw_qmp(monitor, "query-status", {})["status"]
    wanted = "prelaunch" if case["paused"] else "running"
    # "-S" among the words of kvm_extra
    if state != wanted and "-S" not in made.hvparams["kvm_extra"].split():
        raise RuntimeError(f"the guest is {state}, not {wanted}")
    yield "runs"


def _outcome(hypervisor: Any, made: Any, disks: list[Any], case: dict[str, Any]) -> dict[str, Any]:
    run_folder = Path(type(hypervisor)._ROOT_DIR)
    before = leftovers.take(run_folder)
    found: dict[str, Any] = {"id": case["id"], "error": [], "text": "", "left": []}
    try:
        for found["stage"] in _run(hypervisor, made, disks, case):
            pass
    except Exception as error:
        found["error"] = [kind.__name__ for kind in type(error).__mro__]
        found["text"] = str(error)
        found["left"] = leftovers.take(run_folder).added_since(before)
    _end(hypervisor, made.name, leftovers.take(run_folder).added_since(before))
    return found


def _end(hypervisor: Any, name: str, left: list[str]) -> None:
    """Whatever there is of it goes: the original leaves some of a start that failed."""
    try:
        hypervisor.StopInstance(None, force=True, name=name)
        hypervisor.CleanupInstance(name)
    except Exception as error:
        print(f"{name}: {error}", file=sys.stderr)
    for kind, _, what in (item.partition(": ") for item in left):
        if kind == "process":
            try:
                os.kill(int(what.split()[1]), 9)
            except ProcessLookupError:
                continue


def main(generation: str, module: str, qemu: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints must not mix with the answers
    made = node.make_node(generation, module)
    try:
        folder = _prepare(made)
        for number, case in enumerate(json.load(sys.stdin), 1):
            guest, disks = _make(case, number, folder, qemu)
            outcome = _outcome(made.hypervisor(), guest, disks, case)
            print(json.dumps(outcome), file=answers, flush=True)
    finally:
        made.remove()


if __name__ == "__main__":
    main(*sys.argv[1:])
