"""What travels from the source to the target through Ganeti: the runtime file, and a little more.

The runtime is a list of four elements, of which Ganeti's own module reads the first four wherever
there are more. A fifth, a dict, says what the guest was doing, so that it does so afterwards.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ganeti import errors, serializer

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.migration_decision import is_at_rest
from ganeti_hv_kvm.qmp_values import migration as answers

from . import born, offer, way
from .offer import Offer
from .side import look

if TYPE_CHECKING:
    from ganeti import objects

_ELEMENTS = 4
#: Characters; a guest with all disks and NICs that Ganeti allows has a twentieth of it.
_MOST = 1 << 20
_RUN_STATE = "run_state"
_SOURCE = "source"
_OFFER = "offer"


def make(guest: Guest) -> str:
    """Tell the target what it has to know; the runtime file says what QEMU has, from then on.

    Raises:
        errors.HypervisorError: there is no runtime file, or it cannot be read.
    """
    seen = look(guest)
    if not seen.answers:
        # for the clean-up after a migration that failed
        return guest.seams.read_runtime(guest.name)
    guest.seams.reconcile_devices(guest.instance)
    runtime = _load(guest.seams.read_runtime(guest.name))
    source = getattr(guest.instance, "primary_node", None)
    extra = {_RUN_STATE: seen.run_state, _SOURCE: source, **born.tell(guest, runtime)}
    # else it is asked for the clean-up of a migration that is under way
    if is_at_rest(seen) and (offered := way.make_offer(guest)):
        extra[_OFFER] = offered.as_told()
    return _dump([*runtime[:_ELEMENTS], extra])


def runtime_of(info: str | bytes) -> str:
    """Give the content of the runtime file alone, with what the source knew beyond it."""
    loaded = _load(info)
    if len(loaded) <= _ELEMENTS:
        return _text(info)
    born.keep(loaded, loaded[_ELEMENTS])
    return _dump(loaded[:_ELEMENTS])


def extra_of(info: str | bytes) -> object:
    """Give what the source told beside the runtime; None where it was Ganeti's own module."""
    loaded = _load(info)
    return loaded[_ELEMENTS] if len(loaded) > _ELEMENTS else None


def offer_of(instance: objects.Instance, info: str | bytes) -> Offer:
    """Give what the source offers beyond what Ganeti's own module does.

    What an earlier migration left in the runtime file is no offer of this one: Ganeti's own module
    keeps it there, and hands it on.

    Raises:
        errors.HypervisorError: it cannot be understood.
    """
    return offer.read(_of_source(instance, info).get(_OFFER))


def _of_source(instance: objects.Instance, info: str | bytes) -> dict[str, object]:
    """Give what the guest's source told of it; nothing where another migration's source did."""
    extra, primary = extra_of(info), getattr(instance, "primary_node", None)
    return extra if isinstance(extra, dict) and extra.get(_SOURCE) == primary else {}


def was_running(instance: objects.Instance, info: str | bytes) -> bool:
    """Tell whether the guest has to run when it has arrived.

    Where the source does not say it (Ganeti's own module), it has to, unless it was started
    paused. What an earlier migration left in the runtime file says nothing about this one.
    """
    state = _of_source(instance, info).get(_RUN_STATE)
    if isinstance(state, str) and state not in ("finish-migrate", "postmigrate"):
        return state == "running"
    logging.info("The source of %s does not tell whether the guest runs", instance.name)
    return START_PAUSED not in shapes.items(_load(info)[0])


def command_of(runtime: str | bytes) -> list[str]:
    """Give the stored command of a runtime file's content."""
    return [str(word) for word in shapes.items(_load(runtime)[0])]


def _load(info: str | bytes) -> list[object]:
    if not isinstance(info, str | bytes):
        raise errors.HypervisorError(
            f"the migration information is a {type(info).__name__}, not a text"
        )
    if len(info) > _MOST:
        raise errors.HypervisorError(
            f"the migration information has {len(info)} characters, {_MOST} are the most"
        )
    try:
        loaded = serializer.Load(info)
    except (ValueError, RecursionError) as err:
        reason = answers.quote(str(err))
        raise errors.HypervisorError(f"the migration information is not JSON: {reason}") from err
    if not isinstance(loaded, list) or not loaded or not _is_command(loaded[0]):
        raise errors.HypervisorError("the migration information is not that of a KVM guest")
    return loaded


def _is_command(words: object) -> bool:
    """Whether these can be the arguments of a program."""
    return isinstance(words, list) and bool(words) and all(_can_be_argument(word) for word in words)


def _can_be_argument(word: object) -> bool:
    if isinstance(word, int):
        return True  # so Ganeti's own module stores memory and ports
    if not isinstance(word, str):
        return False
    try:
        return b"\0" not in word.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _dump(loaded: list[object]) -> str:
    return _text(serializer.Dump(loaded))


def _text(data: str | bytes) -> str:
    return data.decode("utf-8") if isinstance(data, bytes) else data
