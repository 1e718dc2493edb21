"""Builds the instance objects that Ganeti's master would send to a node."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import guest, paths
from .node import BRIDGE

# Stable, so that device ids and MACs in outputs can be compared.
_NAMESPACE = uuid.UUID("5a3dc0e6-6a6b-4c36-9d0e-6d1b4a4ff2b5")


def hypervisor_parameters(**changes: Any) -> dict[str, Any]:
    """Ganeti's defaults with our guest, software emulation and no display; then ``changes``."""
    from ganeti import constants

    ours = {
        constants.HV_KVM_PATH: str(paths.QEMU),
        constants.HV_KVM_FLAG: constants.HT_KVM_DISABLED,
        constants.HV_KERNEL_PATH: str(guest.kernel()),
        constants.HV_INITRD_PATH: str(guest.initramfs()),
        constants.HV_KERNEL_ARGS: guest.KERNEL_ARGS,
        constants.HV_VNC_BIND_ADDRESS: "",
        constants.HV_SERIAL_CONSOLE: True,
        constants.HV_VHOST_NET: False,  # the default of 3.1; few test machines have the device
    }
    return {**constants.HVC_DEFAULTS[constants.HT_KVM], **ours, **changes}


def nic(index: int = 0, *, bridge: str = BRIDGE) -> Any:
    """A NIC on ``bridge`` with a MAC of its own."""
    from ganeti import constants, objects

    return objects.NIC(
        uuid=_uuid("nic", index),
        mac=f"aa:00:00:12:34:{index:02x}",
        nicparams={
            constants.NIC_MODE: constants.NIC_MODE_BRIDGED,
            constants.NIC_LINK: bridge,
            constants.NIC_VLAN: "",
        },
    )


def disk(folder: Path, index: int = 0, *, mebibytes: int = 16) -> tuple[Any, str, None]:
    """A disk as a file in ``folder``, new ones empty: what Ganeti hands over as a block device."""
    from ganeti import constants, objects

    image = folder / f"disk{index}.img"
    if not image.exists():
        with image.open("wb") as data:
            data.truncate(mebibytes * 1024 * 1024)
    device = objects.Disk(
        uuid=_uuid("disk", index),
        dev_type=constants.DT_FILE,
        logical_id=(constants.FD_LOOP, str(image)),
        iv_name=f"disk/{index}",
        size=mebibytes,
        mode=constants.DISK_RDWR,
        params={},
        children=[],
    )
    return device, str(image), None


def instance(
    name: str,
    *,
    nics: Sequence[Any] = (),
    disks: Sequence[tuple[Any, str, Any]] = (),
    memory: int = 128,
    minimum_memory: int | None = None,
    vcpus: int = 1,
    **parameters: Any,
) -> Any:
    """An instance; ``parameters`` change hypervisor parameters, memory is in MiB."""
    from ganeti import constants, objects

    return objects.Instance(
        name=name,
        uuid=_uuid("instance", name),
        primary_node=_uuid("node", 0),
        hypervisor=constants.HT_KVM,
        hvparams=hypervisor_parameters(**parameters),
        beparams={
            constants.BE_MAXMEM: memory,
            constants.BE_MINMEM: memory if minimum_memory is None else minimum_memory,
            constants.BE_VCPUS: vcpus,
            constants.BE_ALWAYS_FAILOVER: False,
            constants.BE_AUTO_BALANCE: True,
            constants.BE_SPINDLE_USE: 1,
        },
        osparams={},
        osparams_private={},
        admin_state=constants.ADMINST_UP,
        nics=list(nics),
        disks=[device.uuid for device, _, _ in disks],
        disks_info=[device for device, _, _ in disks],
        disk_template=constants.DT_FILE if disks else constants.DT_DISKLESS,
        disks_active=True,
        network_port=None,
        os="noop",
        tags=[],
    )


def _uuid(kind: str, name: object) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind} {name}"))
