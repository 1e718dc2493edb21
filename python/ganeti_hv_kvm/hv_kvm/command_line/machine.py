"""The guest's mainboard: name, machine type, what is behind its memory, clock, identity."""

from __future__ import annotations

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

from . import uefi
from .option import properties
from .request import StartRequest

# From this version on QEMU names its threads by itself, and refuses to be told.
_NAMES_ITS_THREADS = 11


def name(request: StartRequest) -> list[str]:
    """-name: the instance's name, by which Ganeti recognises the process."""
    named = request.dialect.names_threads and request.facts.version[1] < _NAMES_ITS_THREADS
    threads = ("debug-threads", "on") if named else None
    return ["-name", properties(request.instance.name, threads)]


def pidfile(request: StartRequest) -> list[str]:
    """-pidfile: the file whose lock QEMU holds for as long as it lives."""
    return ["-pidfile", request.paths.pidfile]


def root_ports(request: StartRequest) -> list[str]:
    """The root ports of a q35, each for one disk or NIC, now or while the guest runs."""
    if not request.is_q35:
        return []
    ports = (
        properties(
            "pcie-root-port",
            ("id", q35.port_at(slot)),
            ("bus", q35.BUS),
            ("addr", hex(slot)),
            ("chassis", slot),
            ("port", slot),
        )
        for slot in (*q35.NIC_SLOTS, *q35.DISK_SLOTS)
    )
    return [word for port in ports for word in ("-device", port)]


def daemon(request: StartRequest) -> list[str]:
    """-daemonize and the log of what QEMU has to say afterwards."""
    return ["-daemonize", "-D", request.paths.logfile]


def _acpi_by_machine(request: StartRequest) -> bool:
    # QEMU 9 dropped -no-acpi; acpi=off is understood since 5.0.
    return not request.hvp[constants.HV_ACPI] and not request.facts.has_switch("-no-acpi")


def acpi(request: StartRequest) -> list[str]:
    """-no-acpi, where this QEMU still has it."""
    wanted = request.hvp[constants.HV_ACPI]
    return [] if wanted or _acpi_by_machine(request) else ["-no-acpi"]


def reboot(request: StartRequest) -> list[str]:
    """-no-reboot: QEMU ends when the guest reboots."""
    exits = request.hvp[constants.HV_REBOOT_BEHAVIOR] == constants.INSTANCE_REBOOT_EXIT
    return ["-no-reboot"] if exits else []


def machine(request: StartRequest) -> list[str]:
    """-machine: type and accelerator, in the words that this QEMU has for them."""
    kvm_flag = text_or_none(request.hvp, constants.HV_KVM_FLAG) or ""
    if request.facts.has_switch("-machine"):
        accel = ("accel", "kvm") if kvm_flag == constants.HT_KVM_ENABLED else None
        no_acpi = ("acpi", "off") if _acpi_by_machine(request) else None
        flash = uefi.of_machine(request)
        return ["-machine", properties(request.machine, no_acpi, accel, *flash)]
    switch = {
        constants.HT_KVM_ENABLED: "-enable-kvm",
        constants.HT_KVM_DISABLED: "-disable-kvm",
    }.get(kvm_flag)
    known = switch is not None and request.facts.has_switch(switch)
    return ["-machine", request.machine, *([switch] if known and switch else [])]


def paused(request: StartRequest) -> list[str]:
    """-S for an instance that the administrator wants to find stopped at its first instruction."""
    return ["-S"] if request.startup_paused else []


def memory_backing(request: StartRequest) -> list[str]:
    """-mem-path: guest memory from a hugetlbfs folder, taken at once."""
    folder = text_or_none(request.hvp, constants.HV_MEM_PATH)
    return ["-mem-path", folder, "-mem-prealloc"] if folder else []


def clock(request: StartRequest) -> list[str]:
    """-rtc for guests that keep local time."""
    return ["-rtc", "base=localtime"] if request.hvp[constants.HV_USE_LOCALTIME] else []


def cpu(request: StartRequest) -> list[str]:
    """-cpu: model and flags, as the administrator wrote them."""
    model = text_or_none(request.hvp, constants.HV_CPU_TYPE)
    return ["-cpu", model] if model else []


def uuid(request: StartRequest) -> list[str]:
    """-uuid: the instance's uuid in the guest's DMI tables."""
    return ["-uuid", request.instance.uuid] if request.facts.has_switch("-uuid") else []
