"""The host's side of an instance's NICs: TAP devices, network scripts, and their files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors, utils
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.qmp_values.run_state import quoted

if TYPE_CHECKING:
    from ganeti import objects

#: OpenTap(name=, features=) -> (interface name, TAP fds, vhost fds)
OpenTapFunction = Callable[..., tuple[str, list[int], list[int]]]


class HostNic(NamedTuple):
    """A NIC of the guest together with the TAP device that was opened for it."""

    nic: objects.NIC
    tap: str
    tapfds: Sequence[int]
    vhostfds: Sequence[int]


def tap_name(nic: objects.NIC) -> str:
    """Name the TAP device for a NIC; "" lets the kernel choose.

    Only NICs for the communication between instances and Ganeti have names of their own.
    """
    prefix = constants.INSTANCE_COMMUNICATION_NIC_PREFIX
    if nic.name is None or not nic.name.startswith(prefix):
        return ""
    return str(hv_base.GenerateTapName())


def open_taps(
    nics: Iterable[objects.NIC], features: Features, open_tap: OpenTapFunction
) -> list[HostNic]:
    """Open a TAP device for each NIC; all of them or none.

    Raises:
        errors.HypervisorError: which NIC failed and why; no TAP device is left.
    """
    opened: list[HostNic] = []
    try:
        for seq, nic in enumerate(nics):
            try:
                tap, tapfds, vhostfds = open_tap(name=tap_name(nic), features=features)
            except errors.HypervisorError as err:
                raise errors.HypervisorError(f"NIC {seq} ({nic.mac}): {err}") from err
            opened.append(HostNic(nic, tap, tapfds, vhostfds))
    except BaseException:
        close(opened)
        raise
    return opened


def all_fds(host_nics: Iterable[HostNic]) -> list[int]:
    """Give every file descriptor that QEMU has to inherit."""
    return [fd for host in host_nics for fd in (*host.tapfds, *host.vhostfds)]


def close(host_nics: list[HostNic]) -> None:
    """Close the devices; a TAP that QEMU does not hold goes with its last descriptor."""
    for fd in all_fds(host_nics):
        os.close(fd)
    host_nics.clear()


def write_files(host_nics: Sequence[HostNic], files: InstanceFiles) -> None:
    """Record which TAP device belongs to which NIC, where Ganeti looks for it."""
    utils.EnsureDirs([(files.nic_dir, constants.RUN_DIRS_MODE)])
    for seq, host in enumerate(host_nics):
        utils.WriteFile(files.nic_file(seq), data=host.tap)


def mode(nic: objects.NIC) -> str:
    """Tell how a NIC is connected (``constants.NIC_MODE_*``).

    Raises:
        errors.HypervisorError: its parameters do not say; they come from a file, or another node.
    """
    told = (nic.nicparams or {}).get(constants.NIC_MODE)
    if not isinstance(told, str):
        raise errors.HypervisorError(
            f"the NIC {quoted(nic.mac)} has no mode in its parameters, so that it cannot be told"
            " how it is connected"
        )
    return told


def waits_for_migration(nic: objects.NIC) -> bool:
    """Tell whether the NIC of an incoming guest is set up only once it has arrived.

    A route must not lead here while the guest still runs elsewhere.

    Raises:
        errors.HypervisorError: as ``mode`` does.
    """
    return mode(nic) == constants.NIC_MODE_ROUTED
