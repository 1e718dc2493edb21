"""What a scenario gets to work with, and how it says that something is wrong."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import node


class Fault(Exception):
    """The module did not do what the scenario asks for."""


def expect(is_right: object, otherwise: str) -> None:
    """Raises `Fault` with the text ``otherwise`` unless ``is_right``."""
    if not is_right:
        raise Fault(otherwise)


def fault_in(*generations: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Marks a scenario with the Ganeti generations whose original fails it."""

    def mark(scenario: Callable[[Place], None]) -> Callable[[Place], None]:
        scenario.generations = generations  # type: ignore[attr-defined]
        return scenario

    return mark


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@dataclass
class Place:
    """A node with one of the modules, for one scenario."""

    node: node.Node
    log: _Records = field(default_factory=_Records)

    def __post_init__(self) -> None:
        logging.getLogger().addHandler(self.log)
        logging.getLogger().setLevel(logging.DEBUG)

    @property
    def is_ours(self) -> bool:
        return self.node.module == node.OURS

    def connection(self, path: Path, timeout: float = 1.0) -> Any:
        """A QmpConnection, not yet connected, whose time-out is ``timeout`` seconds."""
        from ganeti.hypervisor.hv_kvm import monitor

        connection = monitor.QmpConnection(str(path))
        if self.is_ours or self.node.generation != "3.0":
            connection.timeout = timeout
        else:
            connection._SOCKET_TIMEOUT = timeout
        return connection

    def execute(self, connection: Any, command: str, arguments: Any = None) -> Any:
        """Runs a command by the name that this generation has for it."""
        if self.node.generation == "3.0":
            return connection.Execute(command, arguments)
        return connection.execute_qmp(command, arguments)


def error_of(action: Callable[[], object]) -> BaseException | None:
    """What ``action`` raises, or None."""
    try:
        action()
    except Exception as error:
        return error
    return None


def expect_hypervisor_error(error: BaseException | None) -> None:
    """The one family of errors that Ganeti's daemons catch around a hypervisor."""
    from ganeti import errors

    expect(
        isinstance(error, errors.HypervisorError),
        f"no HypervisorError but {type(error).__name__}: {error}",
    )


def seconds_of(action: Callable[[], object]) -> float:
    """How long ``action`` takes, whether it succeeds or raises."""
    start = time.monotonic()
    error_of(action)
    return time.monotonic() - start


def cpu_seconds_of(action: Callable[[], object]) -> float:
    """As `seconds_of`, but this thread's processor time: the same on an idle or a busy machine."""
    start = time.thread_time()
    error_of(action)
    return time.thread_time() - start


def wait_until(is_so: Callable[[], object], timeout: float, what: str) -> None:
    """Polls; TimeoutError if it is not so within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether the process runs, or sleeps, or is stopped; not if it is only yet to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def kill(pid: int, signal: int) -> None:
    """Sends a signal to a process that this sandbox started."""
    os.kill(pid, signal)
