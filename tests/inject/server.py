"""A node whose requests run in forked children that wait to be traced, as a node daemon's would.

    server.py GENERATION

Each line that is read is JSON, [method, arguments, file for the answer]; a child is forked for it
and its number is told. The child waits for `GO`, does what was asked, waits for `GO` once more,
writes its answer and ends; "null" has the server reap it. So whoever traces the child sees the
operation alone, and can look at the child before and after it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import instance, node, node_process

#: Nobody else sends it, and nothing of Ganeti or QEMU uses it.
GO = signal.SIGRTMIN + 7


class Requests(node_process.Requests):
    """Instances come with the paths of their disks, which are left as they are.

    They are made before the operation begins: that is the test's work, and no fault is to hit it.
    """

    def __init__(self, made: node.Node) -> None:
        super().__init__(made)
        self._made: dict[str, Any] = {}

    def prepare(self, arguments: list[Any]) -> None:
        for argument in arguments:
            if isinstance(argument, dict) and "name" in argument:
                self._made[json.dumps(argument)] = (self._build(argument), self._disks(argument))
            elif isinstance(argument, str) and argument.endswith(".img"):
                _disk(argument)

    def _instance(self, wanted: dict[str, Any]) -> Any:
        return self._made[json.dumps(wanted)][0]

    def _disks(self, wanted: dict[str, Any]) -> list[Any]:
        return [_disk(path) for path in wanted.get("disks", ())]

    def _build(self, wanted: dict[str, Any]) -> Any:
        disks = self._disks(wanted)
        made = super()._instance({key: wanted[key] for key in wanted if key != "disks"})
        made.disks = [device.uuid for device, _, _ in disks]
        made.disks_info = [device for device, _, _ in disks]
        return made

    def AddDisk(self, wanted: dict[str, Any], path: str, number: int) -> None:
        (device, *extra), made = _disk(path), self._instance(wanted)
        self._node.hypervisor().HotAddDevice(made, "disk", device, tuple(extra), number)

    def RemoveDisk(self, wanted: dict[str, Any], path: str, number: int) -> None:
        device, *_ = _disk(path)
        self._node.hypervisor().HotDelDevice(self._instance(wanted), "disk", device, None, number)

    def ChangeNic(self, wanted: dict[str, Any], number: int, mac: str) -> None:
        nic, made = instance.nic(number), self._instance(wanted)
        nic.mac = mac
        self._node.hypervisor().HotModDevice(made, "nic", nic, None, number)

    def ResizeDisk(self, wanted: dict[str, Any], path: str, size: int) -> None:
        device, *_ = _disk(path)
        self._node.hypervisor().ResizeDisk(self._instance(wanted), device, size)

    def AskToStop(self, wanted: dict[str, Any]) -> None:
        self._node.hypervisor().StopInstance(self._instance(wanted))

    def GetInstanceInfo(self, wanted: dict[str, Any]) -> Any:
        return self._node.hypervisor().GetInstanceInfo(wanted["name"])

    def GetAllInstancesInfo(self) -> Any:
        return self._node.hypervisor().GetAllInstancesInfo()

    def answer(self, method: str, arguments: list[Any]) -> dict[str, Any]:
        try:
            own = getattr(self, method, None) or self.for_instance(method)
            return {"value": own(*arguments)}
        except Exception as error:
            logging.exception("%s failed", method)
            return {"error": [kind.__name__ for kind in type(error).__mro__], "text": str(error)}


@functools.cache
def _disk(name: str) -> Any:
    """A disk whose image is there already, as ``disk<number>.img``."""
    # Never written to: a QEMU that looks at its size in that moment finds none.
    path = Path(name)
    assert path.exists(), name
    return instance.disk(path.parent, int(path.stem.removeprefix("disk")))


def _child(requests: Requests, method: str, arguments: list[Any], file: str) -> None:
    requests.prepare(arguments)
    signal.signal(GO, lambda _number, _frame: None)
    signal.sigwait({GO})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {GO})
    answer = requests.answer(method, arguments)
    signal.pause()
    Path(file).write_text(json.dumps(answer, default=str))


def serve(made: node.Node) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints must not mix with the answers
    requests = Requests(made)
    signal.pthread_sigmask(signal.SIG_BLOCK, {GO})
    print(json.dumps(str(made.root)), file=answers, flush=True)
    child = 0
    for line in sys.stdin:
        asked = json.loads(line)
        if asked is None:
            status = os.waitpid(child, 0)[1]
            print(json.dumps(os.waitstatus_to_exitcode(status)), file=answers, flush=True)
            continue
        child = os.fork()
        if not child:
            os.close(0)
            answers.close()
            os.open("/dev/null", os.O_RDONLY)
            _child(requests, *asked)
            os._exit(0)
        print(json.dumps(child), file=answers, flush=True)


if __name__ == "__main__":
    here = node.make_node(sys.argv[1], node.OURS)
    try:
        serve(here)
    finally:
        here.remove()
