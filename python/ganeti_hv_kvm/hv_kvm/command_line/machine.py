"""The guest's mainboard: name, memory, processors, machine type, clock, identity."""

from __future__ import annotations

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import q35

from .option import properties
from .request import StartRequest

# From this version on QEMU names its threads by itself, and refuses to be told.
_NAMES_ITS_THREADS = 11


# From this version on QEMU refuses a topology whose product is not the number of vCPUs.
_STRICT_SMP = (6, 2, 0)
_LEVELS = 3
# Of a pc of each version; a q35 can have more, and says how many.
_MOST_VCPUS = 255


def name(request: StartRequest) -> list[str]:
    """-name: the instance's name, by which Ganeti recognises the process."""
    named = request.dialect.names_threads and request.facts.version[1] < _NAMES_ITS_THREADS
    threads = ("debug-threads", "on") if named else None
    return ["-name", properties(request.instance.name, threads)]


def memory(request: StartRequest) -> list[str]:
    """-m: the most memory the guest may get, in MiB; ballooning takes the rest away."""
    return ["-m", str(request.instance.beparams[constants.BE_MAXMEM])]


def _check_topology(request: StartRequest, vcpus: int, topology: dict[str, int]) -> None:
    """Raise HypervisorError where QEMU would call the topology invalid (from 6.2 on)."""
    if "-smp" in request.hvp[constants.HV_KVM_EXTRA] or request.facts.version[1:] < _STRICT_SMP:
        return
    product = 1
    for count in topology.values():
        product *= count
    if vcpus % product or (len(topology) == _LEVELS and product != vcpus):
        said = ", ".join(f"{level}={count}" for level, count in topology.items())
        raise errors.HypervisorError(
            f"the instance has {vcpus} vCPUs, which {said} cannot be: their product must be"
            f" {'that' if len(topology) == _LEVELS else 'a divisor of that'}"
        )
    if vcpus > _MOST_VCPUS and not request.is_q35:
        raise errors.HypervisorError(
            f"the instance has {vcpus} vCPUs; machine {request.machine} can have {_MOST_VCPUS}"
        )


def processors(request: StartRequest) -> list[str]:
    """-smp: vCPUs and, where configured, their topology.

    Raises HypervisorError if the two do not go together.
    """
    topology = (
        ("cores", request.hvp[constants.HV_CPU_CORES]),
        ("threads", request.hvp[constants.HV_CPU_THREADS]),
        ("sockets", request.hvp[constants.HV_CPU_SOCKETS]),
    )
    wanted = [pair for pair in topology if pair[1]]
    vcpus = int(request.instance.beparams[constants.BE_VCPUS])
    _check_topology(request, vcpus, dict(wanted))
    return ["-smp", properties(str(vcpus), *wanted)]


def pidfile(request: StartRequest) -> list[str]:
    """-pidfile"""
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
    kvm_flag = request.hvp[constants.HV_KVM_FLAG]
    if request.facts.has_switch("-machine"):
        accel = ("accel", "kvm") if kvm_flag == constants.HT_KVM_ENABLED else None
        no_acpi = ("acpi", "off") if _acpi_by_machine(request) else None
        return ["-machine", properties(request.machine, no_acpi, accel)]
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
    folder = request.hvp[constants.HV_MEM_PATH]
    return ["-mem-path", folder, "-mem-prealloc"] if folder else []


def clock(request: StartRequest) -> list[str]:
    """-rtc for guests that keep local time."""
    return ["-rtc", "base=localtime"] if request.hvp[constants.HV_USE_LOCALTIME] else []


def cpu(request: StartRequest) -> list[str]:
    """-cpu: model and flags, as the administrator wrote them."""
    model = request.hvp[constants.HV_CPU_TYPE]
    return ["-cpu", model] if model else []


def uuid(request: StartRequest) -> list[str]:
    """-uuid: the instance's uuid in the guest's DMI tables."""
    return ["-uuid", request.instance.uuid] if request.facts.has_switch("-uuid") else []
