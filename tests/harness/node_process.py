"""A node in a process of its own, as Ganeti's node daemon is one: answers requests on a pipe.

    node_process.py GENERATION MODULE [ROOT]

Each request is a line of JSON, [method, arguments]; the answer is {"value": ...} or {"error": its
class, "text": ...}. The first line says where the node's root folder is; one that is given belongs
to another process, with whose guests this one goes on.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import device_mapper, firmware_disk, instance, node

#: What Ganeti's configuration has of an instance beside its parameters.
_CONFIGURATION = ("uuid", "serial_no", "disks_active", "tags")


def _folder(wanted: dict[str, Any]) -> Path:
    return Path(wanted["disk_folder"])


class Requests:
    """What a node can be asked; instances come as what `instance.instance` takes."""

    def __init__(self, made: node.Node) -> None:
        self._node = made
        logging.basicConfig(filename=made.root / "node.log", level=logging.DEBUG)

    def _instance(self, wanted: dict[str, Any]) -> Any:
        wanted = dict(wanted)
        nics = [instance.nic(number) for number in range(wanted.pop("nics", 0))]
        mode = wanted.pop("nic_mode", None)
        for nic in nics if mode else ():
            nic.nicparams["mode"] = mode
        wanted.pop("disk_folder", None)
        wanted.pop("disk_count", None)
        primary = wanted.pop("primary_node", "first")
        configuration = {key: wanted.pop(key) for key in _CONFIGURATION if key in wanted}
        made = instance.instance(nics=nics, **wanted)
        made.primary_node = primary
        for key, value in configuration.items():
            setattr(made, key, value)
        return made

    def _disks(self, wanted: dict[str, Any]) -> list[Any]:
        folder = wanted.get("disk_folder")
        count = wanted.get("disk_count", 1) if folder else 0
        data = [instance.disk(Path(folder), number) for number in range(count)]
        if "hv-kvm:firmware:uefi" in wanted.get("tags", ()):
            data.append(firmware_disk.named(Path(folder)))
        return [*data, *([firmware_disk.disk(Path(folder))] if "boot_type" in wanted else [])]

    def StartInstance(self, wanted: dict[str, Any], paused: bool = False) -> None:
        self._node.hypervisor().StartInstance(self._instance(wanted), self._disks(wanted), paused)

    def StartAsUpstream(self, wanted: dict[str, Any]) -> None:
        """With the firmware disk's regions mapped, as upstream's module starts a guest."""
        made, disks = self._instance(wanted), self._disks(wanted)
        hypervisor = self._node.hypervisor()
        with device_mapper.as_upstream(hypervisor, made, disks):
            hypervisor.StartInstance(made, disks, False)

    def AcceptAsUpstream(self, wanted: dict[str, Any], info: str, address: str) -> None:
        """The same for a guest that arrives."""
        made, disks = self._instance(wanted), self._disks(wanted)
        hypervisor = self._node.hypervisor()
        with device_mapper.as_upstream(hypervisor, made, disks):
            hypervisor.AcceptInstance(made, info, address)

    def StopInstance(self, wanted: dict[str, Any]) -> None:
        self._node.hypervisor().StopInstance(self._instance(wanted), force=True)

    def CleanupInstance(self, wanted: dict[str, Any]) -> None:
        self._node.hypervisor().CleanupInstance(wanted["name"])

    def AddNic(self, wanted: dict[str, Any], number: int) -> None:
        nic, made = instance.nic(number), self._instance(wanted)
        self._node.hypervisor().HotAddDevice(made, "nic", nic, None, number)

    def RemoveNic(self, wanted: dict[str, Any], number: int) -> None:
        nic, made = instance.nic(number), self._instance(wanted)
        self._node.hypervisor().HotDelDevice(made, "nic", nic, None, number)

    def AddDisk(self, wanted: dict[str, Any], number: int) -> None:
        made, (disk, *extra) = self._instance(wanted), instance.disk(_folder(wanted), number)
        self._node.hypervisor().HotAddDevice(made, "disk", disk, tuple(extra), number)

    def RemoveDisk(self, wanted: dict[str, Any], number: int) -> None:
        made, (disk, *_) = self._instance(wanted), instance.disk(_folder(wanted), number)
        self._node.hypervisor().HotDelDevice(made, "disk", disk, None, number)

    def GrowDisk(self, wanted: dict[str, Any], number: int, mebibytes: int) -> None:
        made, (disk, path, _) = self._instance(wanted), instance.disk(_folder(wanted), number)
        os.truncate(path, mebibytes << 20)
        self._node.hypervisor().ResizeDisk(made, disk, mebibytes << 20)

    def AskToStop(self, wanted: dict[str, Any]) -> None:
        self._node.hypervisor().StopInstance(self._instance(wanted))

    def ForgetDepartures(self) -> None:
        """What outlives a guest's files on purpose; only our module keeps it."""
        departure = sys.modules.get("ganeti_hv_kvm.hv_kvm.migration.departure")
        for name in departure.names() if departure else ():
            departure.forget(name)

    def GetMigrationStatus(self, wanted: dict[str, Any]) -> dict[str, Any]:
        status = self._node.hypervisor().GetMigrationStatus(self._instance(wanted))
        names = ("status", "postcopy_status", "transferred_ram", "total_ram", "migration_downtime")
        return {name: getattr(status, name, None) for name in names}

    def GetAllInstancesInfo(self) -> list[str]:
        return [info[0] for info in self._node.hypervisor().GetAllInstancesInfo()]

    def GetInstanceInfo(self, wanted: dict[str, Any]) -> list[Any]:
        return list(self._node.hypervisor().GetInstanceInfo(wanted["name"]))

    def ListInstances(self) -> list[str]:
        return list(self._node.hypervisor().ListInstances())

    def for_instance(self, method: str) -> Callable[..., Any]:
        """Any other method whose first argument is the instance."""

        def call(wanted: dict[str, Any], *arguments: Any) -> Any:
            return getattr(self._node.hypervisor(), method)(self._instance(wanted), *arguments)

        return call

    def MigrateInstance(self, wanted: dict[str, Any], *arguments: Any) -> None:
        self._node.hypervisor().MigrateInstance("cluster", self._instance(wanted), *arguments)


def serve(made: node.Node) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints must not mix with the answers
    requests = Requests(made)
    print(json.dumps(str(made.root)), file=answers, flush=True)
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            own = getattr(requests, method, None) or requests.for_instance(method)
            answer = {"value": own(*arguments)}
        except Exception as error:
            logging.exception("%s failed", method)
            bases = [kind.__name__ for kind in type(error).__mro__]
            answer = {"error": bases, "text": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    lent = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    here = node.make_node(*sys.argv[1:3], root=lent)
    try:
        serve(here)
    finally:
        if not lent:
            here.remove()
