"""An instance of the cluster: driven by Ganeti's commands, watched on its own serial console."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness import guest, migrants, two_nodes
from harness.console import SerialConsole

from .cluster import Cluster
from .node import Node

BOOT_TIMEOUT = 60.0
SEEN_TIMEOUT = 30.0
MEMORY = 160  # MiB; Ganeti's policy wants at least 128
LESS_MEMORY = 128
# The console echoes what is typed: the line itself must not look like a tick.
_COUNT = (
    'count() { t=0; while true; do echo "guest"": tick $t"; t=$((t + 1)); sleep 0.05; done; };'
    " count >/dev/console & counter=$!"
)


@dataclass(frozen=True)
class Seen:
    """What the guest says of itself: disks in MiB and NICs' MACs by their names in the guest."""

    seconds: int
    memory: int
    disks: dict[str, int]
    nics: dict[str, str]


class Instance:
    """One instance; its name is that of the cluster's /etc/hosts."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    # Ganeti's commands

    def gnt(self, command: str, *options: str, check: bool = True) -> str:
        """`gnt-instance COMMAND OPTIONS NAME`; what it prints."""
        return self.cluster.gnt("gnt-instance", command, *options, self.name, check=check)

    def add(
        self, node: Node, *options: str, template: str = "sharedfile", parameters: str = ""
    ) -> None:
        """Create and start it on a node, with one NIC; ``parameters`` as after -H."""
        disks = () if template == "diskless" else ("--disk=0:size=1G",)
        self.gnt(
            "add",
            f"--disk-template={template}",
            "--os-type=noop",
            *disks,
            f"--node={node.name}",
            f"--backend-parameters=minmem={LESS_MEMORY},maxmem={MEMORY},vcpus=1",
            f"--hypervisor-parameters=kvm:{parameters}",
            "--no-wait-for-sync",
            *self.cluster.no_checks,
            *options,
        )

    def gnt_tags(self, how: str, *tags: str) -> str:
        """`gnt-instance add-tags` or `remove-tags`."""
        return self.cluster.gnt("gnt-instance", f"{how}-tags", self.name, *tags)

    def modify(self, *options: str) -> str:
        return self.gnt("modify", *options)

    @property
    def hotplug(self) -> tuple[str, ...]:
        """The option that makes a modification reach the running guest; 3.1 does so anyway."""
        return ("--hotplug",) if self.cluster.generation == "3.0" else ()

    def hot_modify(self, *options: str, check: bool = True) -> str:
        """Change devices of the running guest."""
        return self.gnt("modify", "--force", *self.hotplug, *options, check=check)

    def migrate(self, target: Node, *options: str, check: bool = True) -> str:
        return self.gnt("migrate", "--force", f"--target-node={target.name}", *options, check=check)

    def field(self, name: str) -> str:
        options = ("--no-headers", "-o", name)
        return self.gnt("list", *options).strip()

    def state(self) -> tuple[str, str] | None:
        """Its status and its primary node as Ganeti has them; None if there is no such instance."""
        fields = "name,status,pnode"
        text = self.cluster.gnt("gnt-instance", "list", "--no-headers", "-o", fields)
        found = [line.split() for line in text.splitlines()]
        return next(((one[1], one[2]) for one in found if one[0] == self.name), None)

    def remove(self) -> None:
        self.gnt("remove", "--force", "--shutdown-timeout=0")

    # Where it is, and what it does

    @property
    def node(self) -> Node:
        """Its primary node, as Ganeti has it."""
        primary = self.field("pnode")
        return next(node for node in self.cluster.nodes if node.name == primary)

    @property
    def place(self) -> Node:
        """The node with its QEMU, found without Ganeti; if there are none or two, its primary."""
        nodes = [node for node in self.cluster.nodes if node.qemu(self.name)]
        return nodes[0] if len(nodes) == 1 else self.node

    @property
    def pid(self) -> int:
        """The process id (inside its node) of its QEMU."""
        node = self.place
        pid = node.qemu(self.name)
        if pid is None:
            raise LookupError(f"{self.name} has no QEMU on {node.name}")
        return pid

    def qemus(self) -> list[str]:
        """The nodes on which it has a QEMU."""
        return [node.short_name for node in self.cluster.nodes if node.qemu(self.name)]

    def run_state(self, node: Node | None = None) -> str:
        """What QEMU itself says, on a monitor that no module uses."""
        try:
            return str(self.qemu(node or self.place, "query-status")["status"])
        except OSError:
            return "gone"

    def qemu(self, node: Node, command: str, **arguments: object) -> Any:
        """What its QEMU on a node answers, on a monitor that no module uses."""
        return two_nodes.raw_qmp(node.socket(self.name, "kvmd"), command, arguments)

    def hold_migration(self, source: Node, timeout: float = 60.0) -> None:
        """Returns when memory is being sent, from then on so slowly that there is no end."""
        crawl = {"max-bandwidth": 1 << 16}
        deadline = time.monotonic() + timeout
        while self.qemu(source, "query-migrate").get("status") != "active":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not begin to migrate")
            time.sleep(0.05)
        self.qemu(source, "migrate-set-parameters", **crawl)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal its QEMU behind Ganeti's back."""
        self.place.signal(self.pid, number)

    # What the guest says

    @contextlib.contextmanager
    def console(self, node: Node | None = None) -> Iterator[SerialConsole]:
        with SerialConsole((node or self.place).socket(self.name, "serial")) as console:
            yield console

    def sees(
        self,
        wanted: Callable[[Seen], object] = bool,
        timeout: float = SEEN_TIMEOUT,
        node: Node | None = None,
    ) -> Seen:
        """What the guest says, once that is ``wanted``."""
        last = None
        deadline = time.monotonic() + timeout
        with self.console(node) as console:
            while True:
                try:
                    left = max(0.0, deadline - time.monotonic())
                    line = console.wait_for(guest.STATUS_LINE.search, left)
                except TimeoutError as late:
                    raise TimeoutError(f"waited {timeout:g} s; last: {last or late}") from late
                last = _parse(line)
                if wanted(last):
                    return last

    def wait_for_boot(self) -> Seen:
        return self.sees(timeout=BOOT_TIMEOUT)

    def start_counting(self) -> None:
        """From now on the guest prints a tick many times a second."""
        with self.console() as console:
            console.send(_COUNT)
            migrants.next_tick(console)

    def stop_counting(self) -> None:
        with self.console() as console:
            # Were it closed at once, QEMU would drop what was typed.
            console.send('kill $counter && echo "count"ing ended')
            console.wait_for(lambda line: "counting ended" in line, SEEN_TIMEOUT)

    def ticks(self, node: Node, timeout: float = 30.0) -> migrants.Ticks:
        """Writes down the guest's ticks on a node, from the moment QEMU is there."""
        socket = node.socket(self.name, "serial")
        migrants.wait_until(socket.exists, timeout, f"QEMU on {node.short_name}")
        return migrants.Ticks(node, {"name": self.name})  # type: ignore[arg-type]

    # Repair, for the next step not to suffer from the last one

    def ensure_running(self, node: Node) -> None:
        """Whatever happened: it exists and runs afterwards, on the given node."""
        state = self.state()
        if state is None:
            self.add(node)
        else:
            with contextlib.suppress(OSError, TimeoutError):
                if state == ("running", node.name) and self.run_state(node) == "running":
                    self.sees(timeout=10, node=node)
                    return
            self.ensure_down(node)
            self.gnt("start", check=False)
        self.wait_for_boot()

    def ensure_down(self, node: Node) -> None:
        """Whatever happened: it exists afterwards, on the given node, and does not run."""
        state = self.state()
        if state is None:
            self.add(node, "--no-start")
            return
        if state == ("ADMIN_down", node.name) and not self.qemus():
            return
        self.cluster.recover()
        for one in self.cluster.nodes:
            for pid in one.processes(rf"qemu-system\S* .*-name {re.escape(self.name)}[ ,]"):
                one.signal(pid, signal.SIGKILL)
        self.gnt("shutdown", "--timeout=0", "--force", check=False)
        if state[1] != node.name:
            self.gnt("failover", "--force", f"--target-node={node.name}", check=False)


def _parse(line: str) -> Seen:
    match = guest.STATUS_LINE.search(line)
    assert match
    pairs = {
        kind: [word.split(":", 1) for word in match[kind].split()] for kind in ("disks", "nics")
    }
    return Seen(
        seconds=int(match["seconds"]),
        memory=int(match["memory"]),
        disks={name: int(size.removesuffix("MiB")) for name, size in pairs["disks"]},
        nics=dict(pairs["nics"]),
    )
