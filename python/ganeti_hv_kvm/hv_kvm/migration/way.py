"""By which way a guest travels: offered by its source, taken by its target, found by its source."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs

from . import channels, encryption, key, offer
from .offer import Offer, Wish
from .side import monitor

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Seconds that the other node gets to answer a connection.
_CONNECTING = 10.0


class Way(NamedTuple):
    """How the guest is sent.

    Attributes:
        port: that the target listens on.
        encrypted: QEMU is to use its key, and the channels that it was told of.
    """

    port: int
    encrypted: bool = False


def _wish() -> Wish:
    """Give this node's setting; a slip is no "off", but an error."""
    return Wish(settings.MIGRATION_TLS.without_doubt())


def _port(guest: Guest) -> int:
    return number(guest.instance.hvparams, constants.HV_MIGRATION_PORT)


def make_offer(guest: Guest) -> Offer:
    """Offer what the settings want, and this node can; QEMU is prepared for it.

    What it cannot is logged: ``choose`` refuses where it must be.
    """
    wish, number = Wish.REQUIRE, key.new_number()
    try:
        wish = _wish()
        if wish is Wish.OFF:
            return offer.NONE
        with monitor(guest) as qmp:
            encryption.lend(guest, qmp, encryption.SOURCE, number)
            several = _prepare_channels(guest, qmp)
    except errors.HypervisorError as err:
        logging.warning("The migration of %s cannot be encrypted: %s", guest.name, err)
        return Offer(wish)
    return Offer(wish, number, offer.port_of(_port(guest)), several)


def _prepare_channels(guest: Guest, qmp: QmpConnection) -> int:
    number = channels.wanted(guest)
    try:
        if number:
            channels.switch_on(qmp, number)
        else:
            channels.switch_off(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s migrates by one channel: %s", guest.name, err)
        return 0
    return number


def check(guest: Guest, offered: Offer) -> None:
    """Look on the target whether the guest may come at all, before anything is started for it.

    Raises:
        errors.HypervisorError: one side requires what the other does not have.
    """
    try:
        offer.take(guest.name, offered, _wish())
    except errors.HypervisorError as err:
        raise _not_accepted(guest, err) from err


def wait_for(guest: Guest, qmp: QmpConnection, offered: Offer, address: str) -> None:
    """Let the target's QEMU, which waits for this, listen where the answer to the offer says.

    Raises:
        errors.HypervisorError: it cannot listen, or must not; it does not.
    """
    try:
        port = _answer(guest, qmp, offered)
    except errors.HypervisorError as err:
        raise _not_accepted(guest, err) from err
    try:
        verbs.migrate_incoming(qmp, address, port)
    except errors.HypervisorError as err:
        raise errors.HypervisorError(
            f"Instance {guest.name} was not accepted, and runs on where it is: QEMU cannot listen"
            f" on {address} port {port}: {err}"
        ) from err


def _answer(guest: Guest, qmp: QmpConnection, offered: Offer) -> int:
    """Take an offer if it can be taken; the port that says so."""
    if not _takes_encrypted(guest, qmp, offered):
        return _port(guest)
    if offered.channels:
        channels.switch_on(qmp, offered.channels)
    encryption.switch_on(qmp)
    logging.info("Instance %s comes encrypted, by port %d", guest.name, offered.port)
    return offered.port


def _takes_encrypted(guest: Guest, qmp: QmpConnection, offered: Offer) -> bool:
    if not offer.take(guest.name, offered, _wish()):
        return False
    try:
        encryption.lend(guest, qmp, encryption.TARGET, offered.number)
    except errors.HypervisorError as err:
        return offer.take(guest.name, offered, _wish(), obstacle=str(err))
    return True


def _not_accepted(guest: Guest, err: Exception) -> errors.HypervisorError:
    error: errors.HypervisorError = errors.HypervisorError(
        f"Instance {guest.name} was not accepted, and runs on where it is: {err}"
    )
    return error


def choose(guest: Guest, qmp: QmpConnection, target: str) -> Way:
    """Find out on the source which way the target has taken.

    Raises:
        errors.HypervisorError: it must be encrypted, and cannot be; or that cannot be told.
            Nothing was sent, and the guest was not touched.
    """
    wish, port = _wish_to_send(guest), _port(guest)
    if wish is Wish.OFF:
        return Way(port)
    encrypted = offer.port_of(port)
    why_not = _why_not(guest, qmp, target, encrypted)
    if not why_not:
        logging.info("Instance %s goes encrypted, to %s port %d", guest.name, target, encrypted)
        return Way(encrypted, encrypted=True)
    if wish is Wish.REQUIRE:
        raise errors.HypervisorError(
            f"Instance {guest.name} was not sent: this node requires that it goes encrypted"
            f" (migration_tls), and {why_not}"
        )
    logging.warning("Instance %s goes unencrypted: %s", guest.name, why_not)
    return Way(port)


def _why_not(guest: Guest, qmp: QmpConnection, target: str, port: int) -> str:
    """Why the guest cannot go encrypted, as far as a look tells; empty if it can."""
    if not encryption.has_key(qmp):
        return "this node cannot encrypt it; the log of its node daemon says why"
    if not _somebody_listens(guest, target, port):
        return f"nobody takes it encrypted there: nobody listens on {target} port {port}"
    return ""


def _wish_to_send(guest: Guest) -> Wish:
    try:
        return _wish()
    except errors.HypervisorError as err:
        raise errors.HypervisorError(f"Instance {guest.name} was not sent: {err}") from err


def take(qmp: QmpConnection, way: Way) -> None:
    """Set the source's QEMU up for it.

    Raises:
        errors.HypervisorError: it refuses.
    """
    if way.encrypted:
        encryption.switch_on(qmp)
    else:
        encryption.take_back(qmp)
        channels.switch_off(qmp)


def end(guest: Guest, qmp: QmpConnection) -> None:
    """Let QEMU and this node forget what was for this migration alone; a failure is only logged."""
    encryption.end(guest, qmp)
    channels.end(guest, qmp)


def _somebody_listens(guest: Guest, target: str, port: int) -> bool:
    """Tell whether a connection is accepted. A QEMU that waits for TLS takes no harm by one."""
    try:
        with contextlib.closing(socket.create_connection((target, port), _CONNECTING)):
            return True
    except ConnectionRefusedError:
        return False
    except OSError as err:
        raise errors.HypervisorError(
            f"Instance {guest.name} was not sent: whether {target} takes it encrypted cannot be"
            f" told: port {port} there: {err}. Let the nodes reach each other by this port, or"
            " set migration_tls=off"
        ) from err
