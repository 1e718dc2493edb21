"""Runs in a process of its own, with Ganeti imported first: what only its code can tell or do.

    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE command NAME
    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE settings
    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE options dry|wet TAGS|- NAME...
    python with_ganeti.py DIRECTORY-OF-GANETI'S-CODE directories

The answer is one line of JSON, the last on stdout: ``{"answer": ...}``, or ``{"error": text}``
where Ganeti cannot be imported. Imported first, it lends its errors to this package's
(`ganeti_hv_kvm.errors`). Nothing is started; a guest is asked, and given limits, for its options
alone; the QEMU binary may be asked what it can do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor
    from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime


def command(name: str) -> dict[str, object]:
    """Give the command lines that a reboot and a cold start of an instance would give now."""
    return {"reboot": _tried(_of_reboot, name), "start": _tried(_of_start, name)}


def _tried(make: Callable[[str], list[str]], name: str) -> dict[str, object]:
    from ganeti import errors

    try:
        return {"command": [str(word) for word in make(name)]}
    except (errors.GenericError, OSError, KeyError, ValueError) as err:
        return {"error": str(err)}


def _hypervisor() -> KVMHypervisor:
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
    from ganeti import constants, pathutils, utils

    from ganeti_hv_kvm.hv_kvm.ganeti import configuration
    from ganeti_hv_kvm.hv_kvm.lifecycle import new_runtime

    hypervisor = _hypervisor()
    instance, _, configured = configuration.find(name)
    links = (f"{name}{constants.DISK_SEPARATOR}{at}" for at in range(len(configured)))
    disks = [
        (disk, utils.PathJoin(pathutils.DISK_LINKS_DIR, link), None)
        for disk, link in zip(configured, links, strict=True)
    ]
    guest = hypervisor._Guest(instance)
    runtime = new_runtime.make_runtime(instance, disks, False, guest.files, guest.facts())
    return _complete(hypervisor, instance, runtime)


def _complete(
    hypervisor: KVMHypervisor, instance: objects.Instance, runtime: KVMRuntime
) -> list[str]:
    from ganeti_hv_kvm.hv_kvm.host.taps import HostNic
    from ganeti_hv_kvm.hv_kvm.lifecycle.start import Start

    guest = hypervisor._Guest(instance)
    start = Start(guest, runtime, guest.facts())
    # The descriptors of TAP devices are those of one start alone.
    return start.command([HostNic(nic, "", [0], []) for nic in runtime.kvm_nics])


def settings() -> dict[str, object]:
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


def directories() -> dict[str, str]:
    """Give where Ganeti keeps what; "data" is what stays over a reboot."""
    from ganeti import pathutils

    return {"data": pathutils.DATA_DIR}


def options(how: str, tags: str, *names: str) -> dict[str, dict[str, object]]:
    """Give for each guest that runs here its options by tag: rows and problems, or an error.

    Args:
        how: "wet" applies them first.
        tags: the instance's, with commas between; "-" are those of the configuration.
        names: full ones.
    """
    return {name: _options(name, how == "dry", tags) for name in names}


def _options(name: str, is_dry: bool, tags: str) -> dict[str, object]:
    from ganeti import errors

    from ganeti_hv_kvm.hv_kvm.ganeti import configuration
    from ganeti_hv_kvm.hv_kvm.lifecycle import options_report

    hypervisor = _hypervisor()
    try:
        guest = hypervisor._Guest(_tagged(hypervisor, name, tags))
        if guest.pid() is None:
            return {"error": f"{name} does not run on this node: a start gives it all its options"}
        if not is_dry:
            options_report.apply(guest)
        report = options_report.of(guest)
    except configuration.NoConfigurationError as err:
        # most nodes have none, which is nothing wrong with them
        return {"error": str(err), "no_configuration": True}
    except (errors.GenericError, OSError) as err:
        return {"error": str(err)}
    return {"rows": [row._asdict() for row in report.rows], "problems": report.problems}


def _tagged(hypervisor: KVMHypervisor, name: str, tags: str) -> objects.Instance:
    """The instance with its tags of today."""
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.ganeti import configuration

    if tags == "-":
        return configuration.find(name).instance
    instance = objects.Instance(name=name, tags=tags.split(","))
    runtime = hypervisor._LoadKVMRuntime(instance)
    instance.hvparams = runtime.up_hvp
    instance.uuid = _uuid(runtime.kvm_cmd) or name
    return instance


def _uuid(command: list[str]) -> str | None:
    """The instance's UUID, as its guest was told."""
    words = iter(command)
    return next((str(next(words, "")) for word in words if word == "-uuid"), None)


def main(directory: str, what: str, *arguments: str) -> None:
    """Print the answer."""
    sys.path[:1] = [directory] if directory else []
    try:
        import ganeti  # noqa: F401  before anything of ours
    except ImportError as err:
        print(json.dumps({"error": f"Ganeti's code is needed for this: {err}; see --ganeti"}))
        return
    known: dict[str, Callable[..., object]] = {
        "command": command,
        "settings": settings,
        "options": options,
        "directories": directories,
    }
    print(json.dumps({"answer": known[what](*arguments)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
