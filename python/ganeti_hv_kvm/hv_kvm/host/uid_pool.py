"""The users that Ganeti's pool lends to QEMUs (security_model=pool).

QEMU's ``-runas`` takes a name, the pool has numbers: one that is no user of this node is of no use.
"""

from __future__ import annotations

import pwd

from ganeti import errors, ssconf, uidpool

#: Numbers of the pool that are looked up; each can be a question to a directory service.
_MOST_LOOKS = 200


def check() -> None:
    """Find a user of the pool, whoever has it now.

    Raises:
        errors.HypervisorError: the pool is empty, or none of its numbers is a user of this node.
    """
    some = sorted(_numbers())[:_MOST_LOOKS]
    if not any(map(name_of, some)):
        raise _no_user(some)


def take() -> uidpool.LockedUid:
    """Take a user that has a name; it stays locked until ``Unlock`` or ``uidpool.ReleaseUid``.

    Raises:
        errors.HypervisorError: none is free, or none is a user of this node.
    """
    free = _numbers()
    nameless: list[uidpool.LockedUid] = []
    try:
        while len(nameless) < _MOST_LOOKS:
            try:
                uid = uidpool.RequestUnusedUid(free)
            except errors.LockError as err:
                if nameless:
                    break
                raise errors.HypervisorError(f"Ganeti's pool has no free user id: {err}") from err
            if name_of(uid.GetUid()):
                return uid
            nameless.append(uid)
            free.discard(uid.GetUid())
    finally:
        for uid in nameless:
            uidpool.ReleaseUid(uid)
    raise _no_user([uid.GetUid() for uid in nameless])


def name_of(uid: int) -> str | None:
    """Give the user's name; None where this node has no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _numbers() -> set[int]:
    """Raises `errors.HypervisorError` where there are none."""
    ranges = uidpool.ParseUidPool(ssconf.SimpleStore().GetUidPool(), separator="\n")
    if not ranges:
        raise errors.HypervisorError("Ganeti's pool of user ids is empty")
    return set(uidpool.ExpandUidPool(ranges))


def _no_user(looked_up: list[int]) -> errors.HypervisorError:
    return errors.HypervisorError(
        f"User id {looked_up[0]} of Ganeti's pool has no name on this node, nor has any other of"
        f" {len(looked_up)}; QEMU cannot run as such a user"
    )
