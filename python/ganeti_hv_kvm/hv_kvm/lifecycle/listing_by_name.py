"""Listing through methods of the class that a test or site code has replaced."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Protocol

from ganeti import errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.errors import QmpRefusedError
from ganeti_hv_kvm.hv_kvm.guest.guest import PidAlive
from ganeti_hv_kvm.qmp_values import numbers

from . import guest_access
from .listing import InstanceInfo


class _Hypervisor(Protocol):
    """The methods that a listing goes through."""

    def _InstancePidAlive(self, instance_name: str) -> PidAlive: ...
    def _InstancePidInfo(self, pid: int) -> tuple[str, int, int]: ...
    def _InstanceQmpMonitor(self, instance_name: str) -> str: ...
    def _IsUserShutdown(self, instance_name: str) -> bool: ...


def all_infos(
    get_info: Callable[[str], InstanceInfo | None], conf_directory: str
) -> list[InstanceInfo]:
    """Tell of each instance with a file of its own what somebody else's function tells of it.

    As upstream's does, this goes on with the others where one raises ``OSError``.
    """
    found = []
    for name in sorted({entry.rpartition(".")[0] for entry in os.listdir(conf_directory)} - {""}):
        try:
            info = get_info(name)
        except OSError as err:
            logging.warning("Instance %s is not listed: %s raised %s", name, get_info, err)
            continue
        if info:
            found.append(info)
    return found


def instance_info(hypervisor: _Hypervisor, name: str, seconds: float) -> InstanceInfo | None:
    """Tell of one instance what the methods of a hypervisor object tell of it.

    Args:
        seconds: what its QEMU may take for each answer.

    Raises:
        errors.HypervisorError: it cannot be told whether it runs.
    """
    _, pid, alive = hypervisor._InstancePidAlive(name)
    if not alive:
        if not hypervisor._IsUserShutdown(name):
            return None
        return (name, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)
    _, memory, vcpus = hypervisor._InstancePidInfo(pid)
    try:
        told = _ask(hypervisor, name, seconds)
        memory = memory if told.memory is None else told.memory
        vcpus = vcpus if told.vcpus is None else told.vcpus
    except (errors.HypervisorError, OSError, numbers.NonsenseError) as err:
        logging.warning("QEMU of %s does not tell its memory and CPUs: %s", name, err)
    return (name, pid, memory, vcpus, hv_base.HvInstanceState.RUNNING, 0)


def _ask(hypervisor: _Hypervisor, name: str, seconds: float) -> numbers.Told:
    qmp = guest_access.qmp_connection(hypervisor._InstanceQmpMonitor(name))
    qmp.timeout = seconds
    qmp.connect()
    answers = {}
    try:
        for command in (numbers.STATUS, numbers.CPUS, numbers.BALLOON):
            # a guest without a balloon refuses the last one
            with contextlib.suppress(QmpRefusedError):
                answers[command] = qmp.execute_qmp(command)
    finally:
        qmp.close()
    return numbers.read(answers)
