"""What a cluster's administrator may want to think over: allowed parameters, not good ones."""

from __future__ import annotations

from collections.abc import Iterator

from ganeti import constants

from .hvparams import HvParams, text_or_none

_GENERIC_CPUS = ("qemu32", "qemu64", "kvm32", "kvm64")
_HOST_CPU = "host"
_LOOPBACK = "127.0.0.1"
_OTHER_MACHINES = ("none", "microvm", "isapc", "x-remote")


def assess(hvparams: HvParams) -> list[str]:
    """Give a sentence for each parameter whose value is allowed, but slow, unsafe or fragile."""
    return [
        *_cpu(hvparams),
        *_network(hvparams),
        *_migration(hvparams),
        *_models(hvparams),
        *_displays(hvparams),
        *_machine(hvparams),
    ]


def _cpu(hvparams: HvParams) -> Iterator[str]:
    model = hvparams[constants.HV_CPU_TYPE]
    if not model or model in _GENERIC_CPUS:
        choice = f"is {model}" if model else "is empty, so guests get QEMU's qemu64"
        yield (
            f"{constants.HV_CPU_TYPE} {choice}: a generic CPU is slow, and lacks the defences of"
            " newer ones; gnt-instance(8) describes the choices"
        )
    elif model == _HOST_CPU:
        yield (
            f"{constants.HV_CPU_TYPE} is {model}: guests migrate live only between nodes whose CPUs"
            " are the same"
        )


def _network(hvparams: HvParams) -> Iterator[str]:
    if not hvparams[constants.HV_VHOST_NET]:
        yield (
            f"{constants.HV_VHOST_NET} is off: with it on, packets of paravirtual NICs take a"
            " shorter way through the kernel"
        )


def _migration(hvparams: HvParams) -> Iterator[str]:
    parameter = constants.HV_MIGRATION_BANDWIDTH
    default = constants.HVC_DEFAULTS[constants.HT_KVM][parameter]
    if hvparams[parameter] == default:
        yield (
            f"{parameter} has its default, {default} MiB/s: far below what networks can do today,"
            " so that a busy guest's migration may take long or never end"
        )


def _models(hvparams: HvParams) -> Iterator[str]:
    for parameter, best in (
        (constants.HV_DISK_TYPE, constants.HT_DISK_PARAVIRTUAL),
        (constants.HV_NIC_TYPE, constants.HT_NIC_PARAVIRTUAL),
    ):
        if hvparams[parameter] != best:
            yield f"{parameter} is {hvparams[parameter]}: {best} (virtio) is faster"


def _displays(hvparams: HvParams) -> Iterator[str]:
    for address, encryption in (
        (constants.HV_VNC_BIND_ADDRESS, constants.HV_VNC_TLS),
        (constants.HV_KVM_SPICE_BIND, constants.HV_KVM_SPICE_USE_TLS),
    ):
        bind = hvparams[address]
        if bind and bind != _LOOPBACK and not hvparams[encryption]:
            yield (
                f"{address} is {bind}, and {encryption} is off: screens and keystrokes cross the"
                " network as plain text"
            )


def _machine(hvparams: HvParams) -> Iterator[str]:
    parameter = constants.HV_KVM_MACHINE_VERSION
    machine = text_or_none(hvparams, parameter)
    if not machine:
        yield (
            f"{parameter} is empty: guests get the default machine of each node's QEMU, which"
            " changes with its version"
        )
    elif machine == "pc" or machine.startswith("q35"):
        yield (
            f"{parameter} is {machine}: it means another machine in each version of QEMU, and a"
            " live migration between two of them may fail"
        )
    elif machine in _OTHER_MACHINES:
        yield f"{parameter} is {machine}: Ganeti cannot run guests on it"
