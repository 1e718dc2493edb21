"""TAP devices and QMP in Rust; see the public names in `ganeti_hv_kvm`."""

import datetime as _datetime
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypedDict, final, type_check_only

from typing_extensions import disjoint_base

from ganeti_hv_kvm.errors import ProcessUnknownError

__all__ = [
    "IFF_MULTI_QUEUE",
    "IFF_NO_PI",
    "IFF_ONE_QUEUE",
    "IFF_TAP",
    "IFF_VNET_HDR",
    "TUNGETFEATURES",
    "TUNGETIFF",
    "TUNSETIFF",
    "FleetAnswer",
    "OpenTap",
    "QmpConnection",
    "QmpEvent",
    "QmpEvents",
    "QmpMessage",
    "QmpTimestamp",
    "_GetTunFeatures",
    "_OpenTap",
    "_ProbeTapMqVirtioNet",
    "_ProbeTapVnetHdr",
    "__version__",
    "close_storage",
    "end_process",
    "find_process",
    "find_processes",
    "mask_secrets",
    "process_condition",
    "process_values",
    "query_fleet",
    "release_device",
    "wait_for_process",
]

__version__: Final[str]
"""Of the Rust part: that of the package."""

TUNSETIFF: Final[int]
"""Number of the ioctl that makes an interface, or opens one more queue of it (linux/if_tun.h)."""
TUNGETIFF: Final[int]
"""Number of the ioctl that tells the name and flags of the interface of a descriptor."""
TUNGETFEATURES: Final[int]
"""Number of the ioctl that tells the flags that the driver knows."""
IFF_TAP: Final[int]
"""Flag: a TAP interface, which carries Ethernet frames."""
IFF_NO_PI: Final[int]
"""Flag: no four bytes of the driver's before each frame."""
IFF_ONE_QUEUE: Final[int]
"""Flag of old kernels; those of today ignore it."""
IFF_VNET_HDR: Final[int]
"""Flag: a virtio-net header before each frame."""
IFF_MULTI_QUEUE: Final[int]
"""Flag: an interface that may have several queues."""

@type_check_only
class _TapFeatures(TypedDict, total=False):
    vhost: bool
    vnet_hdr: bool
    mq: tuple[bool, int]
    driver: str

def _OpenTap(vnet_hdr: bool = True) -> tuple[str, int]:
    """Open a TAP interface with one queue, under a name of the kernel's choice.

    Args:
        vnet_hdr: frames carry a virtio-net header, where the kernel can do it; where it cannot,
            that is logged.

    Returns:
        The interface's name, and its descriptor: close-on-exec, and the caller's.

    Raises:
        TapError: it cannot be opened; nothing is left.
    """

def OpenTap(
    name: str = "", features: _TapFeatures | Mapping[str, Any] | None = None
) -> tuple[str, list[int], list[int]]:
    """Open a TAP interface, which goes with the last of its descriptors.

    `ganeti_hv_kvm.Tap` closes them by itself.

    Args:
        name: the interface's, at most 15 bytes; a pattern such as "tap%d", of which the kernel
            makes one; or "" for the kernel's choice.
        features: "vnet_hdr" (True unless given): frames carry a virtio-net header, where the
            kernel can do it. "vhost" (False): /dev/vhost-net is opened for each queue. "mq": a
            pair, of which the second is the number of queues, 1 to 256 (1). "driver" is for others,
            and ignored.

    Returns:
        The interface's name; one descriptor for each queue; one of vhost-net for each queue, or
        none. All are close-on-exec, and the caller's.

    Raises:
        TapError: it cannot be opened, or there is no such feature; nothing is left.
    """

def _GetTunFeatures(
    fd: int, _ioctl: Callable[[int, int, bytes], bytes] | None = None
) -> int | None:
    """Ask the kernel which flags its TUN driver knows.

    Args:
        fd: an open /dev/net/tun.
        _ioctl: stands in for ``fcntl.ioctl``; called with ``fd``, TUNGETFEATURES and four zero
            bytes, it gives the four bytes of the answer.

    Returns:
        The IFF flags; None, and a line in the log, where the kernel does not tell.

    Raises:
        Exception: what ``_ioctl`` raises, but for an ``OSError``.
    """

def _ProbeTapVnetHdr(fd: int, _features_fn: Callable[[int], int | None] | None = None) -> bool:
    """Tell whether frames can carry a virtio-net header; if not, that is logged.

    Args:
        fd: an open /dev/net/tun.
        _features_fn: stands in for `_GetTunFeatures`.

    Returns:
        Whether the kernel has IFF_VNET_HDR; False where it does not tell.

    Raises:
        Exception: what ``_features_fn`` raises.
    """

def _ProbeTapMqVirtioNet(fd: int, _features_fn: Callable[[int], int | None] | None = None) -> bool:
    """Tell whether an interface can have more than one queue; if not, that is logged.

    Args:
        fd: an open /dev/net/tun.
        _features_fn: stands in for `_GetTunFeatures`.

    Returns:
        Whether the kernel has IFF_MULTI_QUEUE; False where it does not tell.

    Raises:
        Exception: what ``_features_fn`` raises.
    """

class QmpTimestamp(NamedTuple):
    """When something happened, by QEMU's clock; -1 in both where the host's gave no time.

    Attributes:
        seconds: since 1970, UTC.
        microseconds: of that second.
    """

    seconds: int
    microseconds: int

@final
class QmpMessage:
    """A message of QMP: a JSON object whose missing members read as None.

    Its `repr` has the names of the members alone: a value may be a secret. Its `str` has all.
    """

    def __new__(cls, data: dict[str, Any]) -> Self:
        """Make a message of a dictionary, which is not copied.

        Raises:
            TypeError: `data` is no dictionary.
        """

    @property
    def data(self) -> dict[str, Any]:
        """The object itself, not a copy."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def to_bytes(self) -> bytes:
        """Give the message as one line of JSON, with a newline at its end.

        Raises:
            QmpError: it holds what cannot be written as JSON.
        """

    def to_json_string(self) -> str:
        """Give the message as one line of JSON, without a newline.

        Raises:
            QmpError: it holds what cannot be written as JSON.
        """

    @staticmethod
    def build_from_json_string(json_string: str | bytes) -> QmpMessage:
        """Read a message from JSON text.

        Args:
            json_string: the text; bytes are UTF-8.

        Raises:
            QmpProtocolError: it is no JSON object, or one beyond the bounds of a message.
            TypeError: neither a text nor bytes.
        """

    @staticmethod
    def BuildFromJsonString(json_string: str | bytes) -> QmpMessage:
        """`build_from_json_string`, by its name in Ganeti 3.0."""

@final
class QmpEvent:
    """Something that happened in QEMU; a missing member of its data reads as None."""

    def __new__(cls, timestamp: QmpTimestamp, event_type: str, data: dict[str, Any] | None) -> Self:
        """Make an event.

        Args:
            timestamp: when it happened.
            event_type: its name, such as "DEVICE_DELETED".
            data: what QEMU says of it, not copied; None for an empty dictionary.
        """

    @property
    def timestamp(self) -> QmpTimestamp:
        """When it happened, by QEMU's clock."""

    @property
    def datetime(self) -> _datetime.datetime | None:
        """When it happened, aware, in UTC; None for a time that no calendar has."""

    @property
    def event_type(self) -> str:
        """Its name, such as "DEVICE_DELETED"."""

    @property
    def data(self) -> dict[str, Any]:
        """What QEMU says of it; not a copy."""

    def __getitem__(self, key: str, /) -> Any: ...
    @staticmethod
    def build_from_data(data: Mapping[str, Any]) -> QmpEvent:
        """Make the event that a received message describes.

        Args:
            data: the message, with "event", "timestamp" and perhaps "data".

        Raises:
            QmpProtocolError: it is none of an event.
        """

@final
class QmpEvents(Iterator[QmpEvent]):
    """What `QmpConnection.events` gives."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> QmpEvent: ...

@disjoint_base
class QmpConnection:
    """A connection to a guest's QMP monitor; threads may share it: they take turns.

    Every call has one deadline for all that it does: `timeout` seconds, else the connection's,
    else the environment's GANETI_HV_KVM_QMP_TIMEOUT, else 5. A time-out is finite and above zero;
    another one is a QmpError, and nothing is done. Errors are QmpError's family; after
    QmpTimeoutError, QmpLostError or QmpProtocolError it must be connected anew, but `recv_qmp`
    keeps the connection when nothing came.
    """

    # Ganeti's class constants (2.6 and 3.x); _MESSAGE_END_TOKEN etc. are bytes.
    _QMP_TIMEOUT: float
    _SOCKET_TIMEOUT: float
    _FIRST_MESSAGE_KEY: str
    _EVENT_KEY: str
    _ERROR_KEY: str
    _RETURN_KEY: str
    _ACTUAL_KEY: str
    ACTUAL_KEY: str
    """The member of query-balloon's answer that has the guest's memory in bytes."""
    _ERROR_CLASS_KEY: str
    _ERROR_DESC_KEY: str
    _EXECUTE_KEY: str
    _ARGUMENTS_KEY: str
    _VERSION_KEY: str
    _PACKAGE_KEY: str
    _QEMU_KEY: str
    _CAPABILITIES_COMMAND: str
    _QUERY_COMMANDS: str
    _MESSAGE_END_TOKEN: bytes
    _SEND_END_TOKEN: bytes

    def __new__(
        cls,
        monitor_filename: str | os.PathLike[str],
        timeout: float | None = None,
        *,
        max_message_size: int | None = None,
    ) -> Self:
        """Know where a monitor is; `connect`, or a `with`, connects.

        Args:
            monitor_filename: the monitor's socket.
            timeout: seconds that a call may take where it says nothing else; None for the
                environment's, or 5.
            max_message_size: bytes of the largest message that is taken; None for 16 MiB.

        Raises:
            QmpError: the time-out, or the environment's, is none.
        """

    @property
    def monitor_filename(self) -> str:
        """The monitor's socket."""

    @property
    def socket_path(self) -> str:
        """The monitor's socket, by its name in Ganeti 3.1."""

    @property
    def timeout(self) -> float:
        """Seconds that a call may take where it says nothing else."""

    @timeout.setter
    def timeout(self, seconds: float) -> None: ...
    @property
    def version(self) -> tuple[int, int, int] | None:
        """QEMU's version (major, minor, micro), as it greeted last; None before."""

    @property
    def package(self) -> str | None:
        """The distributor's package, as QEMU greeted last, often ""; None before."""

    @property
    def supported_commands(self) -> frozenset[str] | None:
        """The commands that QEMU knows; None if it was not asked."""

    @property
    def peer_pid(self) -> int | None:
        """The process that listens on the monitor; None if it cannot be told."""

    @property
    def lost_events(self) -> int:
        """How many events were dropped: of those that nobody takes, at most 1024 are kept."""

    def connect(self, *, timeout: float | None = None, discover: bool = True) -> None:
        """Connect, unless connected.

        Args:
            timeout: seconds; None for the connection's own.
            discover: ask for the list of commands as well; then one that QEMU lacks is not sent.

        Raises:
            QmpConnectError: the monitor cannot be reached.
            QmpHandshakeError: who answers does not speak QMP.
            QmpError: what else went wrong; in each case there is no connection.
        """

    def close(self) -> None:
        """End the connection; a call that another thread has under way ends in a QmpLostError."""

    def is_connected(self) -> bool:
        """Tell whether there is a connection; that it still works shows only in its use."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...
    def execute_qmp(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        fds: Sequence[int] = (),
    ) -> Any:
        """Have QEMU carry out a command.

        Args:
            command: its name.
            arguments: what JSON can say; None or empty for none.
            timeout: seconds; None for the connection's own.
            fds: descriptors that QEMU gets duplicates of, with the command.

        Returns:
            The value of QEMU's "return".

        Raises:
            QmpRefusedError: QEMU answered with an error.
            QmpCommandNotSupported: this QEMU is known to lack the command; it was not sent.
            QmpTimeoutError: no answer in time; the command may be carried out yet.
            QmpLostError: the connection broke; the command may have been carried out.
            QmpProtocolError: the answer cannot be read; the connection is closed.
            QmpNotConnectedError: there is no connection, or it is another process's.
            QmpError: command or arguments cannot be sent; nothing was.
        """

    def _log_command(self, command: str, arguments: str, result: object) -> None:
        """Hear of a command that was carried out; for subclasses to override.

        It is called only while Python's root logger takes debug messages.

        Args:
            arguments: as JSON text in which secrets are ``***``; "" where there are none.
            result: what the command gave.
        """

    def Execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        fds: Sequence[int] = (),
    ) -> Any:
        """`execute_qmp`, by its name in Ganeti 3.0; that of a subclass where it has its own."""

    def send_qmp(
        self, message: QmpMessage, *, timeout: float | None = None, fds: Sequence[int] = ()
    ) -> None:
        """Send a message as it is; a command without an id gets one.

        Args:
            message: what is sent.
            timeout: seconds; None for the connection's own.
            fds: descriptors that QEMU gets duplicates of.

        Raises:
            QmpError: which of its family, as for `execute_qmp`.
            TypeError: no message.
        """

    def recv_qmp(self, *, timeout: float | None = None) -> QmpMessage:
        """Give the next message, whatever it is; those that were kept come first.

        Args:
            timeout: seconds; None for the connection's own.

        Raises:
            QmpTimeoutError: none came in time; the connection is as good as before.
            QmpError: which of its family, as for `execute_qmp`.
        """

    def get_qmp_response(self, command: str, *, timeout: float | None = None) -> Any:
        """Wait for the answer to the oldest command of `send_qmp` that has none yet.

        Args:
            command: its name, for the text of an error.
            timeout: seconds; None for the connection's own.

        Returns:
            The value of QEMU's "return".

        Raises:
            QmpError: which of its family, as for `execute_qmp`.
        """

    def wait_for_qmp_event(
        self,
        event_types: str | Collection[str],
        timeout: float,
        *,
        device: str | None = None,
    ) -> QmpEvent | None:
        """Take the oldest event of these types, also one from before this call.

        Args:
            event_types: a name, or several.
            timeout: seconds; 0 for what has come already.
            device: only an event about it: its id, or its path.

        Returns:
            The event; None if none came in time.

        Raises:
            QmpError: which of its family, as for `execute_qmp`; never for the time.
        """

    def events(
        self,
        names: str | Collection[str] | None = None,
        device: str | None = None,
        timeout: float | None = None,
    ) -> QmpEvents:
        """Iterate over events, those from before this call first.

        Args:
            names: a name, or several; None for all.
            device: only events about it: its id, or its path.
            timeout: seconds for all of them, after which the iteration ends; 0 for what has come
                already; None for no end but an error.

        Raises:
            QmpError: the time-out is none; while iterating, as for `wait_for_qmp_event`.
        """

    def fileno(self) -> int:
        """Give the socket's descriptor, which stays the connection's, to wait for with select.

        What came with a reply is kept already: ask for it with a time-out of 0 before each wait.

        Raises:
            QmpNotConnectedError: there is no connection, or it is another process's.
        """

@final
class FleetAnswer:
    """What one guest answered to `query_fleet`."""

    @property
    def verdict(
        self,
    ) -> Literal["answered", "busy", "stopped", "gone", "silent", "broken"]:
        """Whether it answered, and if not, why: its client, its process, its time, its words."""

    @property
    def peer_pid(self) -> int | None:
        """The process that listens on the monitor; None if it was not reached."""

    @property
    def replies(self) -> list[Any]:
        """Each command's value, or a QmpRefusedError (not raised); fewer unless all answered."""

    @property
    def error(self) -> BaseException | None:
        """Why there are fewer, as an exception (not raised); None for "answered"."""

def query_fleet(
    paths: Sequence[str | os.PathLike[str]],
    commands: Collection[str | tuple[str, Mapping[str, Any] | None]],
    *,
    timeout: float | None = None,
    pids: Sequence[int | None] | Callable[[], Sequence[int | None]] | None = None,
    max_message_size: int | None = None,
) -> list[FleetAnswer]:
    """Ask many monitors the same commands, all at once.

    What is wrong with one guest is in its answer, and is never raised.

    Args:
        paths: the monitors' sockets.
        commands: each a name, or a pair of a name and arguments.
        timeout: seconds for all together; None for the environment's, or 5.
        pids: the guests' processes, None for one that is not known: a stopped one is told at once.
            Or a function that finds them while they answer: one for which it gives None is gone.
        max_message_size: bytes of the largest message that a guest may send; None for 1 MiB.

    Returns:
        One answer for each path, in their order.

    Raises:
        QmpError: commands or time-out are wrong, and nobody was asked; or this process has no
            descriptor left.
        ValueError: there is not one process for each path.
        Exception: what ``pids`` raises.
    """

def release_device(
    connection: QmpConnection, device: str, seconds: float
) -> tuple[Literal["released", "refused", "silent", "not asked"], str | None]:
    """Ask the guest to let go of a device, and wait until it has.

    Args:
        connection: to its QEMU, connected.
        device: the device's id.
        seconds: that the guest gets; QEMU itself gets the connection's time-out besides.

    Returns:
        What became of it: "released", also if it never had it; "refused" by the guest, or
        "silent" in time: it has the device as before, and a silent one may still release it;
        "not asked", with QEMU's words, None otherwise.

    Raises:
        QmpError: which of its family, as for `QmpConnection.execute_qmp`.
    """

def close_storage(
    connection: QmpConnection, disk: str, seconds: float
) -> tuple[Literal["closed", "in use", "held"], str | None]:
    """Close the storage of a disk whose device has gone: a block node, or a legacy drive.

    Args:
        connection: to the guest's QEMU, connected.
        disk: the id that the disk had, which its storage has too.
        seconds: that it is tried again for; QEMU itself gets the connection's time-out besides.

    Returns:
        What became of it: "closed", also if there was none; "in use": the guest still has the
        disk, and nothing was done; "held" by something in QEMU, with what, None otherwise.

    Raises:
        QmpError: which of its family, as for `QmpConnection.execute_qmp`.
    """

def mask_secrets(arguments: Mapping[str, Any]) -> str:
    """Write a command's arguments as JSON that a log may show: secrets are ***, at any depth.

    Returns:
        The text; "" where there are none.

    Raises:
        QmpError: they cannot be written as JSON.
    """

_Path = str | os.PathLike[str]

def find_process(pidfile: _Path, monitor: _Path) -> int | None:
    """Find the process of an instance's QEMU, by what the kernel says.

    Args:
        pidfile: whose lock it holds (-pidfile).
        monitor: its QMP socket: who listens there is the witness where the lock tells nobody.

    Returns:
        The process id; None where it is certain that there is none.

    Raises:
        ProcessUnknownError: it cannot be told.
    """

def find_processes(
    places: Sequence[tuple[_Path, _Path]],
) -> list[tuple[int, int | None, int | None] | ProcessUnknownError | None]:
    """Find the processes of many instances.

    Args:
        places: for each its pid file and its QMP socket, as for `find_process`.

    Returns:
        For each, in their order: process id, MiB of memory, number of vCPUs (these two as its
        command line says, None where that cannot be read); or None where there is none; or an
        error, not raised, where it cannot be told.
    """

def process_condition(pid: int) -> str:
    """Tell what a process is doing.

    Returns:
        "running"; "stopped" by a signal or a debugger; "frozen" by the freezer of its cgroup;
        "exiting"; or "gone".

    Raises:
        ProcessUnknownError: /proc does not tell.
    """

def process_values(pid: int) -> tuple[str | None, int | None, int | None]:
    """Read the command line of a QEMU, which never tells who a process is.

    Returns:
        The name of its -name, MiB of memory, number of vCPUs; None for what it does not say.
    """

def end_process(pidfile: _Path, monitor: _Path, grace: float) -> tuple[str, int, str, str]:
    """End an instance's QEMU by SIGTERM, later by SIGKILL, and wait until it is gone.

    A stopped or frozen one cannot obey SIGTERM, and is killed at once.

    Args:
        pidfile: as for `find_process`; nobody else is ended.
        monitor: likewise.
        grace: seconds from SIGTERM to SIGKILL, and once more after that.

    Returns:
        A verdict ("nobody", "ended", "killed", "still there"), the process id (0 for nobody),
        and of one that is still there its state letter (proc(5)) and its `process_condition`.

    Raises:
        ProcessUnknownError: it cannot be told who that is, or whether it has ended.
    """

def wait_for_process(pid: int, seconds: float) -> bool:
    """Wait for the end of the process that has this number now.

    Args:
        pid: its number.
        seconds: how long at most.

    Returns:
        Whether it has ended: so has a zombie that nobody reaps, but not one whose threads live on.

    Raises:
        ProcessUnknownError: it cannot be told.
    """
