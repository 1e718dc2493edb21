"""Runs in a process of its own: asks one hv_kvm module, the original or ours, with one Ganeti.

usage: one_module.py GANETI_CODE original|ours < requests.json > answers.json

A request is [what, arguments]; its answer {"result": ...} or {"error": class, "text": message}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GANETI_CODE, SIDE = sys.argv[1:3]
PROJECT = Path(__file__).resolve().parents[2]
sys.path[0:1] = [GANETI_CODE, str(PROJECT / "tests")]
from harness import ganetis_own  # noqa: E402

ganetis_own.be_not_enabled()
if SIDE == "ours":
    # Before what this Python may have installed.
    sys.path.insert(1, str(PROJECT / "python"))
    from ganeti_hv_kvm import activation

    activation.install()

from ganeti import constants, objects, utils  # noqa: E402
from ganeti.hypervisor import hv_kvm  # noqa: E402

if SIDE == "original":
    ganetis_own.prove(Path(GANETI_CODE))

Hypervisor = hv_kvm.KVMHypervisor


def validation(name: str, *arguments: Any) -> Any:
    """Call a function of the module of this name."""
    return getattr(hv_kvm.validation, name)(*arguments)


def upgrade(text: str) -> Any:
    """A runtime file's elements, upgraded."""
    utils.NewUUID = lambda: "0a0b0c0d-new"
    if hasattr(hv_kvm, "_UpgradeSerializedRuntime"):
        return hv_kvm._UpgradeSerializedRuntime(text)
    return hv_kvm.kvm_runtime._upgrade_serialized_runtime(json.loads(text))


def read_and_write(text: str) -> str:
    """A runtime file, loaded by the class and saved again."""
    utils.NewUUID = lambda: "0a0b0c0d-new"
    written: list[Any] = []
    hypervisor = Hypervisor.__new__(Hypervisor)
    hypervisor._WriteKVMRuntime = lambda name, data: written.append(data)
    instance = objects.Instance(name="guest")
    hypervisor._SaveKVMRuntime(instance, hypervisor._LoadKVMRuntime(instance, text))
    (data,) = written
    return data.decode() if isinstance(data, bytes) else str(data)


def console(hvparams: dict[str, Any], port: int | None, ssh_port: int) -> Any:
    """An instance's console, all its fields."""
    instance = objects.Instance(name="kvm.example.com", network_port=port)
    node = objects.Node(name="node1", uuid="node1-uuid", ndparams={})
    group = objects.NodeGroup(name="group1", ndparams={constants.ND_SSH_PORT: ssh_port})
    return Hypervisor.GetInstanceConsole(instance, node, group, hvparams, {}).ToDict()


def parameters() -> dict[str, bool]:
    """Each parameter, and whether it is required."""
    return {name: check[0] for name, check in Hypervisor.PARAMETERS.items()}


def syntax(name: str, value: Any) -> bool:
    """Whether a parameter may have a value."""
    _, check, _, _, _ = Hypervisor.PARAMETERS[name]
    return check is None or bool(check(value))


def on_node(name: str, value: Any) -> bool:
    """Whether a parameter's value is good on this node."""
    _, _, _, check, _ = Hypervisor.PARAMETERS[name]
    return check is None or bool(check(value))


def assessment(changes: dict[str, Any]) -> list[str]:
    """What is said of the defaults with these changes."""
    found: list[str] = Hypervisor.AssessParameters(
        {**constants.HVC_DEFAULTS[constants.HT_KVM], **changes}
    )
    return found


def facts() -> dict[str, Any]:
    """What this Ganeti's constants say."""
    return {
        "module": Hypervisor.__module__,
        "defaults": constants.HVC_DEFAULTS[constants.HT_KVM],
        "speeds": sorted(constants.VALID_SERIAL_SPEEDS),
    }


WHAT = {f.__name__: f for f in (validation, upgrade, read_and_write, console, parameters, syntax)}
WHAT |= {f.__name__: f for f in (on_node, assessment, facts)}


def answer(what: str, arguments: list[Any]) -> dict[str, Any]:
    """Answer a request."""
    try:
        return {"result": WHAT[what](*arguments)}
    except Exception as err:
        return {"error": type(err).__name__, "text": str(err)}


if __name__ == "__main__":
    json.dump([answer(*request) for request in json.load(sys.stdin)], sys.stdout)
