"""A guest's monitor for a command that does something: held for that one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import look
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.process import holder_of

if TYPE_CHECKING:
    from ganeti_hv_kvm import QmpConnection, QmpError


@contextmanager
def connected(guest: LocalGuest, timeout: float) -> Iterator[QmpConnection]:
    """Connect to the monitor that Ganeti uses; each command gets ``timeout`` seconds.

    Raises:
        CommandError: it does not answer, or refused a command; whether that was sent is said.
    """
    from ganeti_hv_kvm import QmpConnection, QmpError

    connection = QmpConnection(guest.qmp, timeout)
    try:
        connection.connect(discover=False)
    except QmpError as err:
        raise _failure(guest, err, is_begun=False) from err
    try:
        yield connection
    except QmpError as err:
        raise _failure(guest, err, is_begun=True) from err
    finally:
        connection.close()


def _failure(guest: LocalGuest, err: QmpError, *, is_begun: bool) -> CommandError:
    from ganeti_hv_kvm import QmpRefusedError

    if isinstance(err, QmpRefusedError):
        done = ""
    elif not is_begun or err.sent is False:
        done = "; nothing was done"
    else:
        done = f"; whether {err.command} was carried out cannot be told: look at the guest"
    stands_still = "" if is_begun else _why_it_stands_still(guest, err)
    text = f"{quoted(guest.name)}: {err}{holder_of(err)}{stands_still}{done}"
    is_refused = isinstance(err, QmpRefusedError)
    sent = err.sent if is_begun else False
    return CommandError(text, name=guest.name, command=err.command, sent=sent, refused=is_refused)


def _why_it_stands_still(guest: LocalGuest, err: QmpError) -> str:
    """Give "; its process is stopped by a signal", to follow an error that cannot tell.

    A freezer does not show in the state that the library looks at, and where as many wait already
    as a socket takes, it does not learn whom to look at. One that has gone may seem to hold the
    monitor as long as nobody there closes what it had.
    """
    is_told = err.peer_state == "busy" and err.peer_pid is not None
    if is_told or err.peer_state not in (None, "silent", "busy"):
        return ""
    pid = look.find(guest).pid
    why = look.STANDS_STILL.get(str(look.condition_of(pid))) if pid else None
    return f"; {why}" if why else ""
