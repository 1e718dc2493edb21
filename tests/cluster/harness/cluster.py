"""Brings the two nodes up and makes a Ganeti cluster of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from harness import guest, paths, upstream

from . import namespaces
from .namespaces import Layers
from .node import SUPPLIES, Node, prepare
from .systems import System

OURS, ORIGINAL = "ours", "original"
NAME = "cluster.example.com"
ADDRESS = "192.0.2.100"
BANDWIDTH = 1000  # MiB a second
MIGRATION_PORT = 8102
COMMAND_TIMEOUT = 120.0  # seconds; those of ours take a few
STORAGE = "/srv/ganeti/file-storage"
SHARED_STORAGE = "/srv/ganeti/shared-file-storage"
AREA = paths.WORK / "cluster/area"
INSTANCES = [f"i{number}.example.com" for number in range(1, 21)]
NODES = {"n1.example.com": "192.0.2.1", "n2.example.com": "192.0.2.2"}


class Running:
    """A command that was started and not yet waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait(self, timeout: float = COMMAND_TIMEOUT) -> tuple[int, str]:
        """Its exit status and what it printed."""
        try:
            output, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            command = " ".join(map(str, self._process.args[8:]))  # type: ignore[index]
            raise TimeoutError(f"{command}: no end within {timeout:g} s") from None
        finally:
            self.end()
        return self._process.returncode, output

    def end(self) -> None:
        """If it still runs, it is killed."""
        namespaces.end_command(self._process)


class Cluster:
    """Two nodes; `initialize` makes them a cluster, the first one its master."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._generation = system.generation
        self.is_initialized = False
        namespaces.mount_area(AREA)
        self._supplies = _supplies(AREA / "supplies")
        shared = AREA / "shared"
        shared.mkdir(exist_ok=True)
        lower = _lower_layers(system)
        self.nodes: list[Node] = []
        try:
            for name, address in NODES.items():
                folder = AREA / name
                seen = [(self._supplies, SUPPLIES), (shared, SHARED_STORAGE)]
                layers = Layers(lower, folder, folder / "root", seen)
                self.nodes.append(Node(name, address, layers))
            namespaces.connect([node.namespaces for node in self.nodes], "cluster")
            for node in self.nodes:
                prepare(node, _hosts(), self._supplies / "keys", [STORAGE, SHARED_STORAGE])
                node.install(f"{SUPPLIES}/{self._wheel()}")
        except BaseException:
            self.close()
            raise

    @property
    def master(self) -> Node:
        return self.nodes[0]

    @property
    def other(self) -> Node:
        return self.nodes[1]

    @property
    def generation(self) -> str:
        """Of Ganeti, as the master has it now."""
        return self._generation

    @property
    def no_checks(self) -> tuple[str, ...]:
        """Options for an instance whose name is in /etc/hosts alone; 3.1 no longer looks."""
        return ("--no-ip-check", "--no-name-check") if self.generation == "3.0" else ()

    def _wheel(self) -> str:
        (wheel,) = self._supplies.glob("*.whl")
        return wheel.name

    def initialize(self, modules: tuple[str, str] = (OURS, OURS)) -> None:
        """`gnt-cluster init` and `gnt-node add`, each node with the given module. Once."""
        if self.is_initialized:
            return
        for node, module in zip(self.nodes, modules, strict=True):
            # The machine's own Python, which the nodes see, may have ours enabled.
            node.use_ours() if module == OURS else node.use_original()
            expected = "replacement" if module == OURS else "original"
            if (found := node.module_in_use()) != expected:
                raise RuntimeError(f"{node.name} was to have the {expected}, and has {found}")
        self.gnt(
            "gnt-cluster",
            "init",
            "--enabled-hypervisors=kvm",
            "--enabled-disk-templates=diskless,sharedfile,file",
            "--master-netdev=br0",
            "--nic-parameters=mode=bridged,link=br0",
            "--no-etc-hosts",
            "--no-ssh-init",
            f"--hypervisor-parameters=kvm:{_parameters()}",
            f"--shared-file-storage-dir={SHARED_STORAGE}",
            f"--file-storage-dir={STORAGE}",
            "--primary-ip-version=4",
            NAME,
        )
        self.gnt("gnt-node", "add", "--no-ssh-key-check", self.other.name)
        self.is_initialized = True

    def gnt(self, *argv: str, timeout: float = COMMAND_TIMEOUT, check: bool = True) -> str:
        """Run one of Ganeti's commands on the master; what it prints, on either output."""
        result = self.master.run(*argv, timeout=timeout, check=check)
        return result.stdout + result.stderr

    def start(self, *argv: str) -> Running:
        """Begin one of Ganeti's commands on the master."""
        return Running(self.master.namespaces.start(*argv))

    def upgrade(self, generation: str) -> str:
        """`gnt-cluster upgrade` to another version, forth or back; what it prints."""
        said = self.gnt("gnt-cluster", "upgrade", "--to", generation, timeout=300, check=False)
        self._generation = generation
        return said

    def set_migration_bandwidth(self, mebibytes: int) -> None:
        """Per second, for migrations from now on."""
        self.gnt("gnt-cluster", "modify", "-H", f"kvm:migration_bandwidth={mebibytes}")

    def verify(self) -> list[str]:
        """The errors that `gnt-cluster verify` finds, but for what this machine's kernel lacks."""
        text = self.gnt("gnt-cluster", "verify", check=False)
        found = [
            line for line in text.splitlines() if re.search(r"\b(ERROR|WARNING|Failure)\b", line)
        ]
        if not Path("/proc/sysrq-trigger").exists():
            found = [line for line in found if "/proc/sysrq-trigger" not in line]
        return found

    def versions(self) -> str:
        """Of Debian, Ganeti, QEMU and Python, as the first node has them."""
        debian = self.master.shell('. /etc/os-release; echo "$PRETTY_NAME"').strip()
        ganeti = self.master.shell("gnt-cluster --version").split()[2].rstrip(")")
        qemu = self.master.run(str(paths.QEMU), "--version").stdout.split("version ")[1].split()[0]
        python = self.master.run("/usr/bin/python3", "--version").stdout.split()[1]
        return f"{debian}, Ganeti {ganeti}, QEMU {qemu}, Python {python}."

    def save_logs(self, folder: Path) -> None:
        """Copy Ganeti's logs out of the nodes."""
        for node in self.nodes:
            shutil.copytree(
                node.path("/var/log/ganeti"), folder / node.short_name, dirs_exist_ok=True
            )

    def recover(self) -> None:
        """Start the daemons that a step has ended."""
        for node in self.nodes:
            if node.run(
                "/usr/lib/ganeti/daemon-util", "check", "ganeti-noded", check=False
            ).returncode:
                node.daemon("start")

    def close(self) -> None:
        for node in self.nodes:
            node.namespaces.end()
        subprocess.run(["ip", "link", "delete", "cluster"], check=False, stderr=subprocess.DEVNULL)
        # An overlay's last reference goes a moment after its namespace.
        deadline = time.monotonic() + 10
        while os.path.ismount(AREA):
            if subprocess.run(["umount", str(AREA)], check=False, capture_output=True).returncode:
                if time.monotonic() > deadline:
                    namespaces.unmount_area(AREA)
                time.sleep(0.1)


def _lower_layers(system: System) -> list[Path]:
    """What the nodes' files are, the system's packages installed."""
    if system.packages is None:
        return [system.root]
    folder = AREA / "packages"
    layers = Layers([system.root], folder, folder / "root", [(system.packages, "/srv/packages")])
    one = Node("packages.example.com", "192.0.2.3", layers)
    try:
        one.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        one.shell("dpkg --force-confold -i /srv/packages/*.deb", timeout=600)
        if system.coming:
            upstream.add_coming_parameters(
                one.path(f"/usr/share/ganeti/{system.generation}/ganeti")
            )
    finally:
        one.namespaces.end()
    return [folder / "upper", system.root]


def _parameters() -> str:
    return ",".join(
        f"{name}={value}"
        for name, value in {
            "kernel_path": f"{SUPPLIES}/vmlinuz",
            "initrd_path": f"{SUPPLIES}/initramfs",
            "kernel_args": guest.KERNEL_ARGS,
            "kvm_path": str(paths.QEMU),
            "kvm_flag": "disabled",
            "vnc_bind_address": "",
            "serial_console": "True",
            "vhost_net": "False",
            # One pass over the memory: before 9.0, QEMU loses writes of emulated guests in others.
            "migration_bandwidth": str(BANDWIDTH),
            "migration_downtime": "2000",
            "migration_port": str(MIGRATION_PORT),
        }.items()
    )


def _hosts() -> str:
    lines = [f"127.0.0.1 localhost\n{ADDRESS} {NAME} {NAME.partition('.')[0]}"]
    lines += [f"{address} {name} {name.partition('.')[0]}" for name, address in NODES.items()]
    for number, name in enumerate(INSTANCES, start=101):
        lines.append(f"192.0.2.{number} {name} {name.partition('.')[0]}")
    return "\n".join(lines) + "\n"


def _supplies(folder: Path) -> Path:
    """The guest, the wheel and the ssh keys, in one folder that the nodes see."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(guest.kernel(), folder / "vmlinuz")
    shutil.copyfile(guest.initramfs(), folder / "initramfs")
    wheel = max((paths.WORK / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    shutil.copyfile(wheel, folder / wheel.name)
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    for kind in ("rsa", "ed25519"):
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(keys / kind)]
        subprocess.run(command, check=True)
    return folder
