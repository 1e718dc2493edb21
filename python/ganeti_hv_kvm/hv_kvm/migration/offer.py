"""What a source offers beyond what Ganeti's own module does, and what its target takes. Pure.

Ganeti tells the source nothing of what the target has made of it. So the target answers by the port
that it listens on, and a source that finds nobody there knows that nothing of its offer was taken:
Ganeti's own module listens on the parameter's port. docs/migration.md has the table of who decides
what.
"""

from __future__ import annotations

import enum
import logging
from typing import NamedTuple, TypeGuard

from ganeti import errors

from ganeti_hv_kvm import json_shapes as shapes

from . import key

#: From the parameter's port to that of an encrypted migration.
_APART = 100
_MOST_PORTS = 65535
#: More than any setting; QEMU's own limit.
_MOST_CHANNELS = 255
_WISH, _NUMBER, _PORT, _CHANNELS = "tls", "number", "port", "channels"


class Wish(enum.Enum):
    """The setting migration_tls of one node."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


class Offer(NamedTuple):
    """What a source offers.

    Attributes:
        wish: its setting.
        number: the number of this migration, from which the key follows; empty if the source
            cannot encrypt.
        port: where a target that takes the offer listens; 0 without a number.
        channels: connections for the guest's memory, encrypted all of them; 0 for QEMU's one.
    """

    wish: Wish = Wish.OFF
    number: str = ""
    port: int = 0
    channels: int = 0

    def __bool__(self) -> bool:
        return self.wish is not Wish.OFF

    def as_told(self) -> dict[str, object]:
        """The form in which it travels."""
        return {
            _WISH: self.wish.value,
            _NUMBER: self.number,
            _PORT: self.port,
            _CHANNELS: self.channels,
        }


NONE = Offer()


def read(told: object) -> Offer:
    """Read what a source told; ``NONE`` where it is Ganeti's own module, and told nothing.

    Raises:
        errors.HypervisorError: it is no offer. What may be a wish for encryption is not ignored.
    """
    if told is None:
        return NONE
    try:
        offered = shapes.members(told)
        wish, number = Wish(offered[_WISH]), offered[_NUMBER]
        port, channels = offered[_PORT], offered[_CHANNELS]
    except (TypeError, KeyError, ValueError) as err:
        raise errors.HypervisorError("what its source offers cannot be understood") from err
    if (
        not isinstance(number, str)
        or not (number == "" or key.is_number(number))
        or not _is_number(port, _MOST_PORTS)
        or not _is_number(channels, _MOST_CHANNELS)
        or not (port or not number)
    ):
        raise errors.HypervisorError("what its source offers cannot be understood")
    return Offer(wish, number, port, channels)


def _is_number(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def port_of(migration_port: int) -> int:
    """The port of an encrypted migration, from the instance's parameter migration_port."""
    port = int(migration_port) + _APART
    return port if port <= _MOST_PORTS else port - 2 * _APART


def take(name: str, offer: Offer, here: Wish, obstacle: str = "") -> bool:
    """Decide for the target whether the guest comes encrypted.

    Args:
        name: of the instance, for the log.
        here: this node's setting.
        obstacle: why this node cannot decrypt; empty as long as nothing is known against it.

    Raises:
        errors.HypervisorError: one side requires it, and it cannot be.
    """
    why_not = _why_not(offer, here, obstacle)
    if not why_not:
        return True
    if Wish.REQUIRE in (offer.wish, here):
        whose = "this node" if here is Wish.REQUIRE else "its source"
        raise errors.HypervisorError(f"{whose} requires that it comes encrypted, and {why_not}")
    if Wish.PREFER in (offer.wish, here):
        logging.warning("Instance %s comes unencrypted: %s", name, why_not)
    return False


def _why_not(offer: Offer, here: Wish, obstacle: str) -> str:
    if offer.wish is Wish.OFF:
        return "its source offers no encryption (migration_tls=off, or Ganeti's own module)"
    if here is Wish.OFF:
        return "this node has migration_tls=off"
    if not offer.number:
        return "its source cannot encrypt; the log of its node daemon says why"
    return f"this node cannot: {obstacle}" if obstacle else ""
