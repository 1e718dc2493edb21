"""The key of one migration, made anew by each node of what both have: nothing secret travels.

HKDF (RFC 5869) with SHA-256: the input is the cluster's secret, which Ganeti gives to all nodes
and to nobody else, the salt the number that the source made for this migration, and the rest says
what the key is for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from ganeti import errors, pathutils, utils

if TYPE_CHECKING:
    from ganeti import objects

_BYTES = 32
_PURPOSE = b"ganeti-hv-kvm migration tls-psk 1"
_NUMBER = re.compile(r"[0-9a-f]{64}")
#: The shortest secret; Ganeti's has 64 characters.
_LEAST = 16


def new_number() -> str:
    """Make the number of a migration, which nobody has used before."""
    return secrets.token_hex(_BYTES)


def is_number(value: object) -> bool:
    """Whether this can be such a number."""
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def of(instance: objects.Instance, number: str) -> str:
    """Give the key of a migration of an instance, hexadecimal.

    Raises:
        errors.HypervisorError: this node does not have the cluster's secret.
    """
    return derive(_cluster_secret(), instance.uuid, instance.name, number)


def derive(secret: str, uuid: str, name: str, number: str) -> str:
    """Give the key, as ``of`` does, from a secret."""
    extracted = hmac.new(bytes.fromhex(number), secret.encode(), hashlib.sha256).digest()
    meant_for = b"\0".join((_PURPOSE, uuid.encode(), name.encode())) + b"\x01"
    return hmac.new(extracted, meant_for, hashlib.sha256).hexdigest()


def _cluster_secret() -> str:
    path = pathutils.CLUSTER_DOMAIN_SECRET_FILE
    try:
        secret = str(utils.ReadOneLineFile(path, strict=True))
    except (OSError, ValueError, errors.GenericError) as err:
        raise errors.HypervisorError(f"the cluster's secret cannot be read: {err}") from err
    if len(secret) < _LEAST:
        raise errors.HypervisorError(f"{path} has {len(secret)} characters, too few for a secret")
    return secret
