"""NICs: a device, which the guest sees, and a netdev with the descriptors of a TAP behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.errors import QmpRefusedError
from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.hv_kvm.devices.description import Features

from . import devices

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm._native import QmpConnection


def tap_fd_names(devid: str, features: Features) -> list[str]:
    """The names under which QEMU keeps a NIC's descriptors until ``netdev_add`` takes them."""
    _, queues = features.get("mq", (False, 1))
    names = [f"{devid}-{queue}" for queue in range(queues)]
    return names + [f"{devid}-vhost-{queue}" for queue in range(queues)]


def _hand_over(qmp: QmpConnection, prefix: str, fds: Sequence[int] | None) -> list[str]:
    names = [f"{prefix}-{queue}" for queue, _ in enumerate(fds or ())]
    for name, fd in zip(names, fds or (), strict=True):
        devices.getfd(qmp, fd, name)
    return names


def add(  # noqa: PLR0917
    qmp: QmpConnection,
    nic: objects.NIC,
    devid: str,
    tapfds: Sequence[int] | None = None,
    vhostfds: Sequence[int] | None = None,
    features: Features | None = None,
    is_chrooted: bool = False,
) -> None:
    """Give the guest a NIC; what fails half-way stays as it is.

    Args:
        nic: Ganeti's ``objects.NIC``, with its place in ``hvinfo``.
        tapfds, vhostfds: descriptors, one for each queue; they stay the caller's.
        features: as for ``OpenTap``.
        is_chrooted: QEMU cannot read files of this host.
    """
    features = features or {}
    taps = _hand_over(qmp, devid, tapfds)
    vhosts = _hand_over(qmp, f"{devid}-vhost", vhostfds)
    qmp.execute_qmp("netdev_add", description.netdev(devid, taps, vhosts, features).as_qmp())
    device = description.nic(nic.hvinfo, devid, nic.mac, features, without_rom=is_chrooted)
    devices.device_add(qmp, device.as_qmp())


def remove_netdev(qmp: QmpConnection, devid: str, fd_names: Iterable[str] = ()) -> None:
    """Close the TAP of a NIC whose device has gone; none is fine as well.

    Args:
        fd_names: descriptors that may have been handed over and not been used.

    Raises:
        errors.HotplugError: the guest still has the NIC; its TAP was left alone.
    """
    if devices.has_device(qmp, devid):
        raise errors.HotplugError(f"the guest still has {devid}; its TAP was left alone")
    _if_there(qmp, "netdev_del", {"id": devid})
    for name in fd_names:
        _if_there(qmp, "closefd", {"fdname": name})


def _if_there(qmp: QmpConnection, command: str, arguments: Mapping[str, str]) -> None:
    # QEMU can be asked for neither netdevs nor descriptors; it knows them or refuses.
    try:
        qmp.execute_qmp(command, arguments)
    except QmpRefusedError as err:
        if "not found" not in err.desc:
            raise


def remove(qmp: QmpConnection, devid: str) -> None:
    """Take a NIC from the guest, and close its TAP once the guest has let go."""
    devices.release_device(qmp, devid)
    remove_netdev(qmp, devid)
