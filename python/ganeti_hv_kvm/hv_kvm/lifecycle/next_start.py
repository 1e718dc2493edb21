"""All of a guest's next start is looked at while the guest still runs.

The command is made with stand-ins for the descriptors of TAP devices, and put before the QEMU of
today; what it names on this node is looked up. What only the start itself can tell (another
program takes a port meanwhile, the node's memory) is left.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ganeti import constants, errors, netutils, pathutils

from ganeti_hv_kvm.hv_kvm.command_line.option import parsed
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import told_of
from ganeti_hv_kvm.hv_kvm.host import beside_qemu, files_qemu_opens, run_directories, taps, uid_pool
from ganeti_hv_kvm.hv_kvm.host.taps import HostNic
from ganeti_hv_kvm.hv_kvm.qemu import dry_run

from . import user_shutdown

if TYPE_CHECKING:
    from .start import Start

# No file is ever opened by it: the command is not run.
_STAND_IN = 0

_X509_FILES = ("ca-cert.pem", "server-cert.pem", "server-key.pem")


def check(start: Start) -> None:
    """Find out what would make a start fail, and change nothing.

    Args:
        start: the start that is to come.

    Raises:
        errors.HypervisorError: what QEMU would not take, or what this node lacks.
    """
    with told_of(start.guest.files.runtime):
        start.check()
        directories = start.guest.files.directories
        run_directories.check(dict.fromkeys(directories))
        files_qemu_opens.check(start.runtime.up_hvp, start.runtime.kvm_disks)
        _check_user(start)
        _check_nics(start)
        command = start.command(
            [HostNic(nic, "", [_STAND_IN], []) for nic in start.runtime.kvm_nics]
        )
        files_qemu_opens.check_words(command)
        problems = [*_displays(command), *_certificates(command)]
        if problems:
            raise errors.HypervisorError("; ".join(problems))
        _check_keymap(start, command)
        dry_run.check(command, start.facts)
        if start.guest.instance.hvparams[constants.HV_KVM_USER_SHUTDOWN]:
            user_shutdown.ensure_daemon()


#: Ganeti's own script leaves bridged NICs to it, where there is one.
_SITE_SCRIPT = f"{pathutils.CONF_DIR}/kvm-vif-bridge"


def _check_user(start: Start) -> None:
    """Find the user that QEMU is to run as."""
    hvp = start.guest.instance.hvparams
    beside_qemu.check_user(hvp)
    if hvp[constants.HV_SECURITY_MODEL] == constants.HT_SM_POOL:
        uid_pool.check()


def _check_keymap(start: Start, command: Sequence[str]) -> None:
    """Find the keyboard layout of a guest that was born with VNC, whatever it is to have next."""
    for address in _values(command, "-vnc"):
        given = {constants.HV_VNC_BIND_ADDRESS: address}
        beside_qemu.check_keymap({**start.guest.instance.hvparams, **given})


def _check_nics(start: Start) -> None:
    """Make a TAP device, and find the networks and the script that they are to be put in by."""
    if not start.runtime.kvm_nics:
        return
    taps.close(
        taps.open_taps(start.runtime.kvm_nics[:1], start.nic_features(), start.guest.seams.open_tap)
    )
    if not os.access(generation.NIC_SETUP_SCRIPT, os.X_OK):
        raise errors.HypervisorError(
            f"the network script {generation.NIC_SETUP_SCRIPT} is not there, or no program"
        )
    if os.access(_SITE_SCRIPT, os.X_OK):
        return  # only the site knows what its script makes of a NIC's link
    for seq, nic in enumerate(start.runtime.kvm_nics):
        link = nic.nicparams.get(constants.NIC_LINK)
        bridged = nic.nicparams[constants.NIC_MODE] == constants.NIC_MODE_BRIDGED
        if bridged and link and not os.path.exists(f"/sys/class/net/{link}"):
            raise errors.HypervisorError(f"NIC {seq}: this node has no bridge {link}")


def _values(command: Sequence[str], *switches: str) -> Iterator[str]:
    return (value for switch, value in itertools.pairwise(command) if switch in switches)


def _displays(command: Sequence[str]) -> Iterator[str]:
    """Say which address of a display this node does not have, or which folder."""
    for value in _values(command, "-vnc"):
        place = re.split(r"(?<!,),(?!,)", value)[0].replace(",,", ",")
        if place.startswith("unix:"):
            folder = os.path.dirname(place.removeprefix("unix:"))
            if not os.access(folder or ".", os.W_OK):
                yield f"no socket for VNC can be made in {folder}"
        elif problem := _why_no_address(place.rpartition(":")[0].strip("[]")):
            yield f"VNC on {place}: {problem}"
    for value in _values(command, "-spice"):
        address = parsed(value).get("addr", "")
        if problem := _why_no_address(address):
            yield f"SPICE on {address}: {problem}"


def _why_no_address(address: str) -> str | None:
    if not netutils.IPAddress.IsValid(address):
        return None  # all addresses, or a name for QEMU to look up
    family = socket.AF_INET6 if netutils.IP6Address.IsValid(address) else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            listener.bind((address, 0))
    except OSError as err:
        return str(err)
    return None


def _certificates(command: Sequence[str]) -> Iterator[str]:
    """Say which certificate or key of a display cannot be read."""
    paths: list[str] = []
    for value in _values(command, "-object"):
        properties = parsed(value)
        if "tls-creds-x509" in properties:
            paths += [os.path.join(properties.get("dir", ""), name) for name in _X509_FILES]
    for value in _values(command, "-spice"):
        paths += [
            path
            for name, path in parsed(value).items()
            if name.startswith("x509-") and name.endswith("-file")
        ]
    for path in dict.fromkeys(paths):
        if problem := _why_unreadable(path):
            yield f"a certificate or key of the display cannot be read: {problem}"


def _why_unreadable(path: str) -> str | None:
    try:
        with open(path, "rb"):
            return None
    except OSError as err:
        return str(err)
