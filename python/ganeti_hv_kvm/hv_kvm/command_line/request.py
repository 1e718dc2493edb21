"""What the command line is made of; everything is known before, nothing is looked up here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.firmware import Layout
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT, Dialect
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import HvParams, text_or_none
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

if TYPE_CHECKING:
    from ganeti import objects


class Paths(NamedTuple):
    """The files, sockets and folders of one instance, absolute."""

    pidfile: str
    logfile: str
    monitor: str
    serial: str
    qmp: str
    kvmd: str
    guest_agent: str
    chroot: str
    spice_cacert: str
    spice_cert: str


class Display(NamedTuple):
    """Where VNC or SPICE listen: interface names are addresses by now.

    ``vnc`` may also be a folder, for a Unix socket in it. ``spice_ip_version`` (4 or 6) is set
    only where the address was found by an interface's name.
    """

    vnc: str | None = None
    spice: str | None = None
    spice_ip_version: int | None = None


class StartRequest(NamedTuple):
    """An instance to start, and what its stored command depends on."""

    instance: objects.Instance
    facts: QemuFacts
    paths: Paths
    display: Display = Display()
    startup_paused: bool = False
    dialect: Dialect = DIALECT
    disk_count: int = 0
    needs_smm: bool = False
    options: Options = Options()

    @property
    def hvp(self) -> HvParams:
        """The instance's hypervisor parameters."""
        return self.instance.hvparams

    @property
    def machine(self) -> str:
        """The machine type: the configured one, or what QEMU takes by itself.

        Never an alias: "pc" is another machine in each version of QEMU, and a guest that had one
        could not migrate to the next.
        """
        wanted = self.hvp[constants.HV_KVM_MACHINE_VERSION]
        if not wanted:
            return self.facts.default_machine
        name, comma, properties = str(wanted).partition(",")
        return self.facts.machine_of(name) + comma + properties

    @property
    def extra(self) -> list[str]:
        """The administrator's own arguments (kvm_extra)."""
        words = text_or_none(self.hvp, constants.HV_KVM_EXTRA)
        return self.dialect.split_extra(words) if words else []

    @property
    def has_uefi(self) -> bool:
        """The guest has UEFI firmware: by boot_type, or by its tags."""
        return self.options.asks_for_uefi or boot_type.uses_ovmf(boot_type.of(self.hvp))

    @property
    def is_q35(self) -> bool:
        """The machine is a q35, whose devices sit elsewhere."""
        return q35.is_q35(self.machine)

    def fixed_place(self, function: q35.Function) -> list[tuple[str, object]]:
        """Properties of a device that is always there; on a pc QEMU finds a place by itself."""
        return q35.fixed_place(function) if self.is_q35 else []


class AttachedNic(NamedTuple):
    """A NIC with the file descriptors of its TAP device, one for each queue."""

    nic: objects.NIC
    tap_fds: Sequence[int]
    vhost_fds: Sequence[int] = ()


class FirmwareDisk(NamedTuple):
    """The guest's firmware disk on this node.

    Attributes:
        path: of a file or a block device.
        is_file: which of both.
        direct: past the host's page cache.
        layout: its regions.
    """

    path: str
    is_file: bool
    direct: bool
    layout: Layout


class Completion(NamedTuple):
    """What is known only at execution, on the node that runs the guest.

    ``hvp`` are the parameters that the guest was first started with, filled up with those of
    today; ``instance.hvparams`` are those of today. ``disks`` are (disk with its hvinfo, link,
    URI), ``incoming`` is the address and port of a migration to wait for. ``pool_user`` is the
    name of the user that was taken from the cluster's pool, if one was. ``memory`` are the MiB that
    the guest is to have in all; None for the instance's maximum.
    """

    instance: objects.Instance
    hvp: HvParams
    facts: QemuFacts
    paths: Paths
    nics: Sequence[AttachedNic] = ()
    disks: Sequence[BlockDevice] = ()
    incoming: tuple[str, int | str] | None = None
    pool_user: str | None = None
    memory: int | None = None
    dialect: Dialect = DIALECT
    options: Options = Options()
    firmware: FirmwareDisk | None = None

    @property
    def today(self) -> HvParams:
        """The parameters as configured now; for what the guest itself does not notice."""
        return self.instance.hvparams


Section = Callable[[StartRequest], list[str]]
"""One part of the stored command."""

LateSection = Callable[[Completion, Sequence[str]], list[str]]
"""One part added at execution; it also gets the command so far."""
