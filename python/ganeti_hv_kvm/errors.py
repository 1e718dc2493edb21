"""The errors that this package raises, by what the caller can do about them.

With Ganeti at hand its own ``errors.HypervisorError`` is their base, so that Ganeti's ``except``
clauses catch them; without Ganeti, classes of the same names take its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:

    class GenericError(Exception):
        """Any error of Ganeti."""

    class HypervisorError(GenericError):
        """A hypervisor cannot do what it was asked for."""

    class ProgrammerError(GenericError):
        """Called as nobody may call it."""

    class HotplugError(HypervisorError):
        """A device was not added, removed or changed."""

else:
    try:
        from ganeti.errors import GenericError, HotplugError, HypervisorError, ProgrammerError
    except ImportError:

        class GenericError(Exception):
            """Stands for Ganeti's class of the same name."""

        class HypervisorError(GenericError):
            """Stands for Ganeti's class of the same name."""

        class ProgrammerError(GenericError):
            """Stands for Ganeti's class of the same name."""

        class HotplugError(HypervisorError):
            """Stands for Ganeti's class of the same name."""


class TapError(HypervisorError):
    """A TAP device could not be opened; nothing of the attempt is left.

    ``errno`` is the failed system call's, or None where none was made.
    """

    errno: int | None = None


class ProcessUnknownError(HypervisorError):
    """It cannot be told whether an instance's QEMU runs, or whether it is that: not a no.

    Nothing was started, ended or removed on it.
    """


class QmpError(HypervisorError):
    """What all errors of a QMP connection have in common; what is not known is None.

    ``command`` is the one that the call was about, ``sent`` whether all of it left (None: nobody
    can tell). ``seconds`` is the call's whole time, where that is over. ``peer_pid`` and
    ``peer_state`` ("gone", "ended", "stopped", "busy", "silent") are the other side's process;
    "busy": another client holds the monitor, and the process is his.
    """

    socket_path: str | None = None
    command: str | None = None
    seconds: float | None = None
    sent: bool | None = None
    peer_pid: int | None = None
    peer_state: str | None = None


class QmpConnectError(QmpError):
    """The monitor could not be reached: no socket, nobody listens, no permission."""


class QmpHandshakeError(QmpError):
    """Somebody answered who does not speak QMP."""


class QmpCommandNotSupported(QmpError):  # noqa: N818 - Ganeti's name
    """This QEMU does not know the command; it was not sent."""


class QmpRefusedError(QmpError):
    """QEMU answered the command with an error: it was not carried out.

    ``error_class`` and ``desc`` are QEMU's own "class" and "desc".
    """

    error_class: str = ""
    desc: str = ""


class QmpTimeoutError(QmpError):
    """The deadline passed. A command that was sent may or may not be carried out yet.

    The connection must be connected anew before it can be used again; unless the text says that
    another thread's call took the time (nothing was sent), or that nothing came (``recv_qmp``).
    """


class QmpLostError(QmpError):
    """The connection broke. A command that was sent may or may not have been carried out."""


class QmpProtocolError(QmpError):
    """What came is not QMP: bad JSON, bad UTF-8, too large a message, or one of no known form.

    Or an error without an id, of which nobody can tell which command it is about.
    """


class QmpNotConnectedError(QmpError, ProgrammerError):
    """The connection was used before ``connect()``, or after a failure without a new one.

    Or in another process than that which connected it: the replies are for that one.
    """
