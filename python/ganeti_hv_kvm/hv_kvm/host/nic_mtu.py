"""The MTU that a paravirtual NIC tells its guest (host_mtu).

It is said when the NIC is born, and belongs to it from then on: it is kept in ``hvinfo``, with
which it comes through reboots and migrations, whichever module is on the other node. A guest whose
driver has once seen it must find it unchanged, so nothing here is looked up again while it lives.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import LEAST_MTU, MOST_MTU, Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

if TYPE_CHECKING:
    from ganeti import objects

#: -device's property.
PROPERTY = "host_mtu"

_DRIVER = "virtio-net-pci"
#: What a guest takes by itself.
_USUAL = 1500
# The link of these is a device of the host.
_WITH_LINK = frozenset({constants.NIC_MODE_BRIDGED, constants.NIC_MODE_OVS})


def at_birth(nic: objects.NIC, options: Options) -> dict[str, int]:
    """Give what a NIC about to be born says of its MTU, as a part of its ``hvinfo``.

    Args:
        nic: Ganeti's ``objects.NIC``, with its place in ``hvinfo``.
        options: of its instance.

    Raises:
        errors.HypervisorError: the NIC cannot say the MTU of the tag, or its bridge cannot pass it.
    """
    wanted = options.values.get("mtu", settings.NIC_MTU.value())
    if wanted == "off":
        return {}
    explicit = isinstance(wanted, int)
    if (nic.hvinfo or {}).get("driver") != _DRIVER:
        if explicit:
            raise errors.HypervisorError(
                f"tag hv-kvm:mtu:{wanted}: only a NIC of the type paravirtual can tell its guest an"
                " MTU (nic_type)"
            )
        return {}
    link = of_link(nic)
    if not explicit:
        usable = link is not None and LEAST_MTU <= link <= MOST_MTU and link != _USUAL
        return {PROPERTY: link} if usable and link is not None else {}
    if link is not None and int(wanted) > link:
        raise errors.HypervisorError(
            f"tag hv-kvm:mtu:{wanted}: {nic.nicparams[constants.NIC_LINK]} has an MTU of {link},"
            " and would drop larger packets"
        )
    return {PROPERTY: int(wanted)}


def of_link(nic: objects.NIC) -> int | None:
    """Give the MTU of the bridge or switch of a NIC, in bytes; None where that cannot be told."""
    parameters = nic.nicparams or {}
    link = text_or_none(parameters, constants.NIC_LINK)
    if parameters.get(constants.NIC_MODE) not in _WITH_LINK or not link or "/" in link:
        return None
    try:
        with open(os.path.join("/sys/class/net", link, "mtu"), encoding="utf-8") as file:
            text = file.read(20).strip()
    except (OSError, ValueError):
        return None  # the network script will say what is wrong with the link
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def too_small_link(nic: objects.NIC) -> str | None:
    """Say that a NIC was born with a larger MTU than its link has here; None if it was not."""
    born, here = (nic.hvinfo or {}).get(PROPERTY), of_link(nic)
    if not isinstance(born, int) or here is None or born <= here:
        return None
    return (
        f"its NIC {nic.mac} was born with an MTU of {born}, but {nic.nicparams[constants.NIC_LINK]}"
        f" has {here} on this node, and drops larger packets"
    )
