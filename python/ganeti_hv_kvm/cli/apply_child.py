"""Runs in a process of its own, with Ganeti imported first: the options of guests, by tags.

    python apply_child.py DIRECTORY-OF-GANETI'S-CODE dry|wet TAGS|- NAME...

The answer is one line of JSON, the last on stdout: for each name rows and problems, or an error.
Imported first, Ganeti lends its errors to this package's (`ganeti_hv_kvm.errors`).
"""

from __future__ import annotations

import json
import sys
from typing import Any


def _instance(hypervisor: Any, name: str, tags: str) -> Any:
    """The instance, with its tags of today; "-" are those of the configuration."""
    from ganeti import errors, objects

    from ganeti_hv_kvm.hv_kvm.ganeti import configuration

    if tags == "-":
        try:
            return configuration.find(name).instance
        except errors.HypervisorError as err:
            raise errors.HypervisorError(
                f"{err}. Give them with --tags, as 'gnt-instance list -o tags --no-headers {name}'"
                " prints them on the master"
            ) from err
    instance = objects.Instance(name=name, tags=tags.split(","))
    runtime = hypervisor._LoadKVMRuntime(instance)
    instance.hvparams = runtime.up_hvp
    instance.uuid = _uuid(runtime.kvm_cmd) or name
    return instance


def _uuid(command: list[str]) -> str | None:
    """The instance's UUID, as its guest was told."""
    words = iter(command)
    return next((str(next(words, "")) for word in words if word == "-uuid"), None)


def _apply(name: str, is_dry: bool, tags: str) -> dict[str, Any]:
    from ganeti import errors

    from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor
    from ganeti_hv_kvm.hv_kvm.lifecycle import options_report

    # its initialiser would make Ganeti's run directories
    hypervisor = KVMHypervisor.__new__(KVMHypervisor)
    try:
        guest = hypervisor._Guest(_instance(hypervisor, name, tags))
        if guest.pid() is None:
            return {"error": f"{name} does not run on this node: a start gives it all its options"}
        if not is_dry:
            options_report.apply(guest)
        report = options_report.of(guest)
    except (errors.GenericError, OSError) as err:
        return {"error": str(err)}
    return {"rows": [row._asdict() for row in report.rows], "problems": report.problems}


def main(directory: str, how: str, tags: str, *names: str) -> None:
    """Print the answer."""
    sys.path[:1] = [directory] if directory else []
    try:
        import ganeti  # noqa: F401  before anything of ours

        answer = {name: _apply(name, how == "dry", tags) for name in names}
    except ImportError as err:
        error = {"error": f"Ganeti's code is needed for this: {err}; see --ganeti"}
        answer = dict.fromkeys(names, error)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
