"""The memory of a node that a guest has left it by migration, and to where.

Ganeti settles a migration's source first, then the target, then its configuration. Where the
target's node daemon is down in that moment, the configuration goes on naming the source; Ganeti's
watcher finds the instance down there, and starts it: it would run twice. So the source keeps a
record from before the first byte is sent, and refuses to start the instance until Ganeti's
configuration has changed, the guest comes back, or a person says so.

The record outlives the instance's files, which are removed with its QEMU, and a reboot of the node,
which does not end the guest at the target. Records of instances that the cluster no longer has are
removed when another one is written.

What the configuration shows was found on a cluster, and is in docs/migration.md: neither a
migration nor its clean-up changes the serial number, a failover adds one before it starts the
guest. A start that we refuse changes it as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors, pathutils, ssconf, utils

if TYPE_CHECKING:
    from ganeti import objects

#: Below Ganeti's data directory.
DIRECTORY = "kvm-departed"
COMMAND = "ganeti-hv-kvm forget-departure"
_MOST = 1 << 16
#: Seconds since the epoch, after which no clock goes; and no whole number is too large for a float.
_LATEST = 1 << 40
#: What Ganeti adds to the serial number from a start that failed to the next one: it marks the
#: disks inactive, and active again. No way of a guest there and back adds as much.
_STARTED_AGAIN = 2
#: The same with a shutdown in between. A guest that was shut down elsewhere and started here has
#: it too, but hardly after a start that was refused.
_SHUT_DOWN_AND_STARTED = 3


class Departure(NamedTuple):
    """What is remembered of one instance.

    Attributes:
        target: the address that its QEMU was sent to, "" if somebody else began to send it.
        left: it is certain that the guest has left; otherwise it was being sent.
        uuid: of the instance: another one may get its name.
        serial_no: of the instance's configuration then.
        primary_node: the same; its UUID.
        refused: serial number at the last start that was refused because of this record.
        began: seconds since the epoch.
    """

    target: str = ""
    left: bool = False
    uuid: str | None = None
    serial_no: int | None = None
    primary_node: str | None = None
    refused: int | None = None
    began: float = 0.0


def directory() -> str:
    """Where the records lie, one file for each instance, by name."""
    return os.path.join(pathutils.DATA_DIR, DIRECTORY)


def names() -> set[str]:
    """Name the instances of which there is a record; nothing is raised."""
    try:
        return set(os.listdir(directory()))
    except FileNotFoundError:
        return set()
    except OSError as err:
        logging.warning("The records of migrated guests cannot be listed: %s", err)
        return set()


def begin(instance: objects.Instance, target: str) -> None:
    """Remember, before it happens, that the guest is being sent to an address.

    Raises:
        errors.HypervisorError: the record cannot be written.
    """
    _write(instance.name, _of(instance)._replace(target=target))
    _prune(keep=instance.name)


def mark_left(instance: objects.Instance) -> None:
    """Remember that the guest has left this node for good.

    Raises:
        errors.HypervisorError: the record cannot be written.
    """
    try:
        known = read(instance.name)
    except errors.HypervisorError as err:
        logging.warning("%s; it is written anew", err)
        known = None
    now = _of(instance)
    if known is None or _is_another(known, instance):
        wanted = now
    elif now.serial_no in (None, known.serial_no):
        wanted = known
    else:
        # what was left of an earlier migration knows another target
        wanted = now._replace(target="" if known.left else known.target)
    if wanted != known or not known.left:
        _write(instance.name, wanted._replace(left=True))


def read(name: str) -> Departure | None:
    """Give the record of an instance; None if there is none.

    Raises:
        errors.HypervisorError: there is one that cannot be read, or is damaged.
    """
    path = _path(name)
    try:
        text = utils.ReadFile(path, size=_MOST)
    except FileNotFoundError as err:
        if _leads_nowhere(path) or _leads_nowhere(directory()):
            raise _unreadable(name, path, err) from err
        return None
    except (OSError, UnicodeDecodeError) as err:
        if isinstance(err, OSError) and err.errno == errno.ENAMETOOLONG:
            return None  # there can be none
        raise _unreadable(name, path, err) from err
    try:
        return _check(json.loads(text))
    except (ValueError, TypeError, RecursionError) as err:
        raise _unreadable(name, path, err) from err


def _leads_nowhere(path: str) -> bool:
    """Whether it is a link to nothing, such as what is on a file system that is not mounted."""
    return os.path.islink(path) and not os.path.exists(path)


def forget(name: str) -> None:
    """Remove the record; one that stays is only logged: the next start tells of it."""
    try:
        utils.RemoveFile(_path(name))
    except OSError as err:
        logging.warning("The record %s is still there: %s", _path(name), err)


def forget_unless_left(name: str) -> None:
    """Remove a record of a guest that was being sent, and never arrived."""
    try:
        known = read(name)
    except errors.HypervisorError as err:
        logging.warning("%s", err)
        return
    if known is not None and not known.left:
        forget(name)


def check_start(instance: objects.Instance) -> None:
    """Refuse to start an instance whose guest has left this node, as far as Ganeti has heard.

    Raises:
        errors.HypervisorError: where it went, and what a person has to do; or the record cannot be
            read.
    """
    known = read(instance.name)
    if known is None:
        return
    if _is_another(known, instance) or _was_heard(known, instance):
        logging.info("%s left this node once; its configuration has changed since", instance.name)
        # what was heard stays heard, whatever becomes of this start
        forget(instance.name)
        return
    serial = _serial(instance)
    if serial != known.refused:
        with contextlib.suppress(errors.HypervisorError):  # it is refused all the same
            _write(instance.name, known._replace(refused=serial))
    raise errors.HypervisorError(_refusal(instance.name, known))


def story(known: Departure) -> str:
    """Say what became of the guest, as far as this node knows."""
    where = _place(known.target)
    if known.left:
        return f"its guest has left this node by migration, for {where}, and runs there"
    return f"its guest was being sent to {where}, and how that ended was never heard here"


def _refusal(name: str, known: Departure) -> str:
    return (
        f"Instance {name} was not started: {story(known)}, as far as this node knows. Ganeti's"
        f" configuration has not changed since. Run 'gnt-instance migrate --cleanup {name}': it"
        " finds the guest, and corrects the configuration. Only if you have seen that the guest"
        f" runs on no other node, run '{COMMAND} {name}' on this one, and start it"
    )


def _place(target: str) -> str:
    """Name the node that has an address."""
    if not target:
        return "another node"
    with contextlib.suppress(errors.GenericError, OSError):
        store = ssconf.SimpleStore()
        for line in (*store.GetNodePrimaryIPList(), *store.GetNodeSecondaryIPList()):
            name, _, address = line.partition(" ")
            if address.strip() == target:
                return f"node {name} ({target})"
    return f"the node with the address {target}"


def _was_heard(known: Departure, instance: objects.Instance) -> bool:
    """Tell whether the configuration has changed in a way that a start alone does not explain."""
    if known.primary_node != getattr(instance, "primary_node", None):
        return True
    serial = _serial(instance)
    last = known.serial_no if known.refused is None else known.refused
    if serial is None or last is None or serial <= last:
        return False
    if not getattr(instance, "disks_active", None):
        return True  # it is a failover that starts it
    if serial - last == _STARTED_AGAIN:
        return False
    refused = known.left and known.refused is not None
    return not (refused and serial - last == _SHUT_DOWN_AND_STARTED)


def _is_another(known: Departure, instance: objects.Instance) -> bool:
    uuid = getattr(instance, "uuid", None)
    return None not in (known.uuid, uuid) and known.uuid != uuid


def _serial(instance: objects.Instance) -> int | None:
    serial = getattr(instance, "serial_no", None)
    return serial if isinstance(serial, int) else None


def _of(instance: objects.Instance) -> Departure:
    return Departure(
        uuid=getattr(instance, "uuid", None),
        serial_no=_serial(instance),
        primary_node=getattr(instance, "primary_node", None),
        began=time.time(),
    )


def _path(name: str) -> str:
    if "/" in name or name in ("", ".", ".."):
        raise errors.HypervisorError(f"{name!r} is not the name of an instance")
    return os.path.join(directory(), name)


def _write(name: str, known: Departure) -> None:
    path = _path(name)
    try:
        os.makedirs(directory(), mode=0o700, exist_ok=True)
        utils.WriteFile(path, data=json.dumps(known._asdict()), mode=0o600)
    except OSError as err:
        raise errors.HypervisorError(
            f"That instance {name} leaves this node cannot be remembered in {path}: {err}"
        ) from err


def _unreadable(name: str, path: str, err: Exception) -> Exception:
    error: Exception = errors.HypervisorError(
        f"Whether the guest of instance {name} has left this node by migration cannot be told:"
        f" {path} cannot be read ({type(err).__name__}: {str(err)[:200]}). Look whether it runs on"
        f" another node; if it does, run 'gnt-instance migrate --cleanup {name}', if not,"
        f" '{COMMAND} {name}' on this node"
    )
    return error


def _check(loaded: object) -> Departure:
    if not isinstance(loaded, dict):
        raise TypeError(f"it is a {type(loaded).__name__}, not an object")
    kinds: dict[str, tuple[type, ...]] = {
        "target": (str,),
        "left": (bool,),
        "uuid": (str, type(None)),
        "serial_no": (int, type(None)),
        "primary_node": (str, type(None)),
        "refused": (int, type(None)),
        "began": (int, float),
    }
    for key, kind in kinds.items():
        if not isinstance(loaded.get(key), kind):
            raise TypeError(f"its '{key}' is a {type(loaded.get(key)).__name__}")
    if not 0 <= loaded["began"] <= _LATEST:
        raise ValueError("its 'began' is no time")
    return Departure(**{key: loaded[key] for key in kinds})


def _prune(keep: str) -> None:
    """Remove the records of instances that the cluster no longer has."""
    others = names() - {keep}
    if not others:
        return
    try:
        path = ssconf.SimpleStore().KeyToFilename(constants.SS_INSTANCE_LIST)
        there = set(utils.ReadFile(path).split())
    except (errors.GenericError, OSError) as err:
        logging.info("Old records of migrated guests are kept: %s", err)
        return
    for name in others - there if keep in there else ():
        forget(name)
