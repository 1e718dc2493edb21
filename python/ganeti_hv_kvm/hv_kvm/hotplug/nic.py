"""Adding a NIC to a running guest, and the host's side of its coming and going."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti import guest_options
from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.guest.undo import Undo
from ganeti_hv_kvm.hv_kvm.host import nic_mtu, nic_scripts, taps
from ganeti_hv_kvm.hv_kvm.host.taps import HostNic
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices, nics

from .device import HotplugDevice

_NUMBER = r"[0-9]+"

# Each TAP device is one more port of a switch, and in nobody's way.
_SWITCHED = {constants.NIC_MODE_BRIDGED, constants.NIC_MODE_OVS}


class Prepared:
    """A TAP device in its network, for a NIC that the guest does not have yet.

    Attributes:
        host: the NIC with its TAP device and descriptors.
        features: what the TAP device offers, as for ``OpenTap``.
        is_handed_over: QEMU may have it; who gave it there takes it back.
    """

    def __init__(self, host: HostNic, features: Features) -> None:
        self.host = host
        self.features = features
        self.is_handed_over = False


@contextlib.contextmanager
def prepared(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> Iterator[Prepared]:
    """Make a TAP device and put it into its network; QEMU is not told of it.

    A failure, here or in the block, leaves neither the device nor, where this Ganeti has a script
    for that, its place in the network.
    """
    vcpus = command_line.vcpus_of(runtime.kvm_cmd)
    features = command_line.tap_features(guest.hvp(runtime), guest.facts(), vcpus)
    host_nics = taps.open_taps([dev.device], features, guest.seams.open_tap)
    try:
        ready = Prepared(host_nics[0], features)
        try:
            guest.seams.configure_nic(guest.instance, dev.seq, dev.device, ready.host.tap)
            yield ready
        except BaseException:
            if not ready.is_handed_over:
                nic_scripts.undo(guest.instance, dev.seq, dev.device, ready.host.tap)
            raise
    finally:
        # QEMU has duplicates of its own.
        taps.close(host_nics)


def mtu_at_birth(guest: Guest, dev: HotplugDevice) -> dict[str, int]:
    """Give what a new NIC says of its MTU; a tag that it cannot follow is only logged."""
    try:
        return nic_mtu.at_birth(dev.device, guest_options.for_running(guest.instance))
    except errors.HypervisorError as err:
        guest_options.warn(guest.name, err)
        return {}


def add(guest: Guest, dev: HotplugDevice, ready: Prepared, undo: Undo) -> None:
    """Give the guest a NIC whose place is in its ``hvinfo``."""
    host, features = ready.host, ready.features
    names = nics.tap_fd_names(dev.devid, features)
    undo.add(f"{dev.devid} in QEMU", lambda: _take_back(guest, dev, host.tap, names))
    ready.is_handed_over = True
    with guest.monitor() as qmp:
        chrooted = bool(guest.instance.hvparams[constants.HV_KVM_USE_CHROOT])
        nics.add(qmp, dev.device, dev.devid, host.tapfds, host.vhostfds, features, chrooted)
    record_tap(guest.files, dev.seq, host.tap)


def set_up_again(guest: Guest, dev: HotplugDevice) -> None:
    """Lead the network back to a NIC that the guest keeps, after another was set up in its place.

    Where addresses are routed, there is one route for both. A failure is only logged: nothing that
    the guest has was touched.
    """
    tap = read_tap(guest.files, dev.seq)
    if not (tap and _is_in_use(tap)):
        return
    try:
        if taps.mode(dev.device) in _SWITCHED:
            return
        guest.seams.configure_nic(guest.instance, dev.seq, dev.device, tap)
    except (errors.HypervisorError, OSError) as err:
        logging.warning(
            "Instance %s keeps %s, but the network script failed for its %s; packets may not reach"
            " the guest: %s",
            guest.name,
            dev,
            tap,
            err,
        )


def _take_back(guest: Guest, dev: HotplugDevice, tap: str, fd_names: list[str]) -> None:
    with guest.monitor() as qmp:
        devices.release_device(qmp, dev.devid)
        nics.remove_netdev(qmp, dev.devid, fd_names)
    nic_scripts.undo(guest.instance, dev.seq, dev.device, tap)
    if read_tap(guest.files, dev.seq) == tap:
        forget_tap(guest.files, dev.seq)


def remove_backend(guest: Guest, dev: HotplugDevice) -> None:
    """Remove what is left of a NIC that the guest has no more: netdev, TAP, script, number.

    Where that was tried before, the number may be another NIC's by now, whose TAP is in use.
    """
    with guest.monitor() as qmp:
        nics.remove_netdev(qmp, dev.devid)
    tap = read_tap(guest.files, dev.seq)
    if tap and not _is_in_use(tap):
        nic_scripts.undo(guest.instance, dev.seq, dev.device, tap)
        forget_tap(guest.files, dev.seq)


# Ganeti counts an instance's NICs without gaps, and finds their TAP devices by these numbers.


def _is_in_use(tap: str) -> bool:
    """Tell whether the TAP device is there: it is for as long as QEMU holds it open."""
    # if_nametoindex() gives one and the same error for "there is none" and "cannot tell"
    return any(name == tap for _, name in socket.if_nameindex())


def read_tap(files: InstanceFiles, seq: int) -> str | None:
    """The name of the TAP device of the NIC with this number; None if it is not recorded."""
    try:
        return str(utils.ReadFile(files.nic_file(seq))).strip() or None
    except FileNotFoundError:
        return None


def record_tap(files: InstanceFiles, seq: int, tap: str) -> None:
    """Record the TAP device of a new NIC; those from its number on move up."""
    utils.EnsureDirs([(files.nic_dir, constants.RUN_DIRS_MODE)])
    there = read_tap(files, seq)
    if there and _is_in_use(there):
        for number in sorted(_numbers(files, seq), reverse=True):
            os.rename(files.nic_file(number), files.nic_file(number + 1))
    utils.WriteFile(files.nic_file(seq), data=tap)


def forget_tap(files: InstanceFiles, seq: int) -> None:
    """Remove the record of a NIC that has gone; those behind it move down."""
    utils.RemoveFile(files.nic_file(seq))
    for number in sorted(_numbers(files, seq + 1)):
        os.rename(files.nic_file(number), files.nic_file(number - 1))


def _numbers(files: InstanceFiles, start: int = 0) -> list[int]:
    try:
        names = instance_files.names_in(files.nic_dir)
    except FileNotFoundError:
        return []
    numbers = (int(name) for name in names if re.fullmatch(_NUMBER, name))
    return [number for number in numbers if number >= start]
