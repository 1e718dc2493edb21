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

TUNSETIFF: Final[int]
TUNGETIFF: Final[int]
TUNGETFEATURES: Final[int]
IFF_TAP: Final[int]
IFF_NO_PI: Final[int]
IFF_ONE_QUEUE: Final[int]
IFF_VNET_HDR: Final[int]
IFF_MULTI_QUEUE: Final[int]

@type_check_only
class _TapFeatures(TypedDict, total=False):
    vhost: bool
    vnet_hdr: bool
    mq: tuple[bool, int]
    driver: str

def _OpenTap(vnet_hdr: bool = True) -> tuple[str, int]: ...
def OpenTap(
    name: str = "", features: _TapFeatures | Mapping[str, Any] | None = None
) -> tuple[str, list[int], list[int]]:
    """Open a TAP interface: its name, and one tap and one vhost-net descriptor a queue.

    The descriptors, all close-on-exec, are the caller's; `ganeti_hv_kvm.Tap` closes them itself.
    Raises TapError, for an unknown feature too: then nothing is left.
    """

def _GetTunFeatures(
    fd: int, _ioctl: Callable[[int, int, bytes], bytes] | None = None
) -> int | None: ...
def _ProbeTapVnetHdr(fd: int, _features_fn: Callable[[int], int | None] | None = None) -> bool: ...
def _ProbeTapMqVirtioNet(
    fd: int, _features_fn: Callable[[int], int | None] | None = None
) -> bool: ...

class QmpTimestamp(NamedTuple):
    seconds: int
    microseconds: int

@final
class QmpMessage:
    def __new__(cls, data: dict[str, Any]) -> Self: ...
    @property
    def data(self) -> dict[str, Any]: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def to_bytes(self) -> bytes: ...
    def to_json_string(self) -> str: ...
    @staticmethod
    def build_from_json_string(json_string: str | bytes) -> QmpMessage: ...
    @staticmethod
    def BuildFromJsonString(json_string: str | bytes) -> QmpMessage: ...

@final
class QmpEvent:
    def __new__(
        cls, timestamp: QmpTimestamp, event_type: str, data: dict[str, Any] | None
    ) -> Self: ...
    @property
    def timestamp(self) -> QmpTimestamp: ...
    @property
    def datetime(self) -> _datetime.datetime | None:
        """When it happened, aware, in UTC; None for a time that no calendar has."""

    @property
    def event_type(self) -> str: ...
    @property
    def data(self) -> dict[str, Any]: ...
    def __getitem__(self, key: str, /) -> Any: ...
    @staticmethod
    def build_from_data(data: Mapping[str, Any]) -> QmpEvent: ...

@final
class QmpEvents(Iterator[QmpEvent]):
    """What `QmpConnection.events` gives."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> QmpEvent: ...

@disjoint_base
class QmpConnection:
    """A connection to a guest's QMP monitor; threads may share it: they take turns.

    Every call has one deadline for all that it does: `timeout` seconds, else the connection's,
    else the environment's GANETI_HV_KVM_QMP_TIMEOUT, else 5. Errors are QmpError's family; after
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
    ) -> Self: ...
    @property
    def monitor_filename(self) -> str: ...
    @property
    def socket_path(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @timeout.setter
    def timeout(self, seconds: float) -> None: ...
    @property
    def version(self) -> tuple[int, int, int] | None: ...
    @property
    def package(self) -> str | None: ...
    @property
    def supported_commands(self) -> frozenset[str] | None: ...
    @property
    def peer_pid(self) -> int | None: ...
    @property
    def lost_events(self) -> int: ...
    def connect(self, *, timeout: float | None = None, discover: bool = True) -> None: ...
    def close(self) -> None: ...
    def is_connected(self) -> bool: ...
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
    ) -> Any: ...
    def _log_command(self, command: str, arguments: str, result: object) -> None: ...
    def Execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        fds: Sequence[int] = (),
    ) -> Any: ...
    def send_qmp(
        self, message: QmpMessage, *, timeout: float | None = None, fds: Sequence[int] = ()
    ) -> None: ...
    def recv_qmp(self, *, timeout: float | None = None) -> QmpMessage: ...
    def get_qmp_response(self, command: str, *, timeout: float | None = None) -> Any: ...
    def wait_for_qmp_event(
        self,
        event_types: str | Collection[str],
        timeout: float,
        *,
        device: str | None = None,
    ) -> QmpEvent | None:
        """Give the oldest such event not taken yet, or None after `timeout` seconds."""

    def events(
        self,
        names: str | Collection[str] | None = None,
        device: str | None = None,
        timeout: float | None = None,
    ) -> QmpEvents:
        """Iterate over events: of these types (None: all), about `device` if given.

        It ends when `timeout` seconds of all are over; without one, when an error does.
        """

    def fileno(self) -> int:
        """Give the socket's descriptor, which stays the connection's, to wait for with select.

        What came with a reply is kept already: ask for it with a time-out of 0 before each wait.
        Raises QmpNotConnectedError.
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
    """Ask the monitors at `paths` the same commands, all at once; answers in the same order.

    A command is a name, or a pair of name and arguments. `timeout` seconds are for all together.
    `pids` are the guests' processes where known, or a function that finds them meanwhile. What is
    wrong with one guest is in its answer, and is never raised.
    """

def release_device(
    connection: QmpConnection, device: str, seconds: float
) -> tuple[Literal["released", "refused", "silent", "not asked"], str | None]:
    """Ask the guest to release a device, and wait for it; QEMU's words where it did not ask."""

def close_storage(
    connection: QmpConnection, disk: str, seconds: float
) -> tuple[Literal["closed", "in use", "held"], str | None]:
    """Close the storage of a disk whose device has gone; what holds it where something does."""

def mask_secrets(arguments: Mapping[str, Any]) -> str:
    """Write a command's arguments as JSON that a log may show: secrets are ***, at any depth."""

_Path = str | os.PathLike[str]

def find_process(pidfile: _Path, monitor: _Path) -> int | None: ...
def find_processes(
    places: Sequence[tuple[_Path, _Path]],
) -> list[tuple[int, int | None, int | None] | ProcessUnknownError | None]: ...
def process_condition(pid: int) -> str: ...
def process_values(pid: int) -> tuple[str | None, int | None, int | None]: ...
def end_process(pidfile: _Path, monitor: _Path, grace: float) -> tuple[str, int, str, str]: ...
def wait_for_process(pid: int, seconds: float) -> bool: ...
