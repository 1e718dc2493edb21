"""Runs in a process of its own, with Ganeti imported: what only its code can tell.

    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE command NAME
    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE settings

The answer is one line of JSON, the last on stdout. Nothing is started and no guest is asked; the
QEMU binary may be, for what it can do.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def command(name: str) -> dict[str, Any]:
    """Give the command lines that a reboot and a cold start of an instance would give now."""
    return {"reboot": _tried(_of_reboot, name), "start": _tried(_of_start, name)}


def _tried(make: Any, name: str) -> dict[str, Any]:
    from ganeti import errors

    try:
        return {"command": [str(word) for word in make(name)]}
    except (errors.GenericError, OSError, KeyError, ValueError) as err:
        return {"error": str(err)}


def _hypervisor() -> Any:
    from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor

    # Its initialiser would make Ganeti's run directories, and here nothing is changed.
    return KVMHypervisor.__new__(KVMHypervisor)


def _of_reboot(name: str) -> list[str]:
    """As a soft reboot makes it: of the runtime file, by the QEMU that is installed now."""
    from ganeti import constants, objects

    from ganeti_hv_kvm.hv_kvm.command_line import memory_backing, vcpus_of

    hypervisor = _hypervisor()
    runtime = hypervisor._LoadKVMRuntime(objects.Instance(name=name))
    # most nodes do not have the configuration: the guest's size as it was started
    memory = memory_backing.mebibytes(runtime.kvm_cmd)
    instance = objects.Instance(
        name=name,
        hvparams=runtime.up_hvp,
        beparams={
            constants.BE_MINMEM: memory,
            constants.BE_MAXMEM: memory,
            constants.BE_VCPUS: vcpus_of(runtime.kvm_cmd),
        },
        nics=runtime.kvm_nics,
        disks=[],
        tags=[],
    )
    return _complete(hypervisor, instance, runtime)


def _of_start(name: str) -> list[str]:
    """As a cold start makes it, of the configuration that this node has, if it has one."""
    from ganeti_hv_kvm.hv_kvm.lifecycle import new_runtime

    hypervisor = _hypervisor()
    instance, disks = _configured(name)
    guest = hypervisor._Guest(instance)
    runtime = new_runtime.make_runtime(instance, disks, False, guest.files, guest.facts())
    return _complete(hypervisor, instance, runtime)


def _complete(hypervisor: Any, instance: Any, runtime: Any) -> list[str]:
    from ganeti_hv_kvm.hv_kvm.host.taps import HostNic
    from ganeti_hv_kvm.hv_kvm.lifecycle.start import Start

    guest = hypervisor._Guest(instance)
    start = Start(guest, runtime, guest.facts())
    # The descriptors of TAP devices are those of one start alone.
    return start.command([HostNic(nic, "", [0], []) for nic in runtime.kvm_nics])


def _configured(name: str) -> tuple[Any, list[Any]]:
    """The instance as the configuration has it, every parameter filled in; and its disks."""
    from ganeti import constants, errors, objects, pathutils, serializer, utils

    try:
        text = utils.ReadFile(pathutils.CLUSTER_CONF_FILE)
    except FileNotFoundError as err:
        raise errors.HypervisorError(
            "this node does not have the cluster's configuration (only master candidates do)"
        ) from err
    config = objects.ConfigData.FromDict(serializer.Load(text))
    found = [one for one in config.instances.values() if one.name == name]
    if not found:
        raise errors.HypervisorError(f"the cluster's configuration has no instance {name}")
    (instance,) = found
    instance.hvparams = config.cluster.FillHV(instance)
    instance.beparams = config.cluster.FillBE(instance)
    for nic in instance.nics:
        nic.nicparams = config.cluster.SimpleFillNIC(nic.nicparams)
    disks = [config.disks[uuid] for uuid in instance.disks]
    links = [
        (disk, utils.PathJoin(pathutils.DISK_LINKS_DIR, f"{name}{constants.DISK_SEPARATOR}{seq}"))
        for seq, disk in enumerate(disks)
    ]
    return instance, [(disk, link, None) for disk, link in links]


def settings() -> dict[str, Any]:
    """Give each setting with what holds, and from where, in an environment such as this one."""
    import os

    from ganeti_hv_kvm.hv_kvm.ganeti import settings as known
    from ganeti_hv_kvm.hv_kvm.ganeti import settings_file

    lines = settings_file.content().lines
    rows = []
    for one in known.ALL:
        text, source = os.environ.get(one.variable), one.variable
        if text is None and one.name in lines:
            text, source = lines[one.name].text, settings_file.PATH
        holds = text is not None and one.why_not(text) is None
        rows.append(
            {
                "name": one.name,
                "value": one.value(),
                "unit": one.unit,
                "from": source if holds else "default",
            }
        )
    return {"settings": rows, "problems": known.problems()}


def main(directory: str, what: str, *arguments: str) -> None:
    """Print the answer."""
    sys.path[:1] = [directory] if directory else []
    answers: dict[str, Any] = {"command": command, "settings": settings}
    print(json.dumps(answers[what](*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
