"""QMP for asyncio: the same session as `QmpConnection`, waited for by threads and the event loop.

A connection belongs to the event loop in which it is first used.
"""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ganeti_hv_kvm import installation

installation.check()

from ganeti_hv_kvm._native import QmpConnection  # noqa: E402 - what is damaged is said before
from ganeti_hv_kvm.errors import QmpNotConnectedError  # noqa: E402

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from ganeti_hv_kvm._native import QmpEvent

__all__ = ["Connection", "connect"]


_Value = TypeVar("_Value")


class Connection:
    """A connection to a guest's QMP monitor, for coroutines.

    Calls take turns; ``timeout`` seconds (None: as for `QmpConnection`) begin with a call's turn.
    A call that is cancelled before its turn sends nothing. One that is cancelled later is carried
    on without its caller until it ends or its time is over: its reply cannot answer another.
    """

    def __init__(self, socket_path: str | os.PathLike[str], timeout: float | None = None) -> None:
        self._connection = QmpConnection(socket_path, timeout)
        # One of its own: guests that hang must not use up the event loop's.
        self._executor = ThreadPoolExecutor(1, "qmp")
        self._turn = asyncio.Lock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._closed = False

    @property
    def version(self) -> tuple[int, int, int] | None:
        """QEMU's version, as it greeted last."""
        return self._connection.version

    @property
    def peer_pid(self) -> int | None:
        """The process that listens on the monitor, if it can be told."""
        return self._connection.peer_pid

    async def connect(self, *, timeout: float | None = None) -> None:
        """Connect, unless connected. Raises QmpError's family."""
        await self._run(functools.partial(self._connection.connect, timeout=timeout))

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        fds: Sequence[int] = (),
    ) -> Any:
        """Execute a command: the value of QEMU's "return". Raises QmpError's family."""
        call = functools.partial(
            self._connection.execute_qmp, command, arguments, timeout=timeout, fds=fds
        )
        return await self._run(call)

    async def events(
        self,
        names: str | Collection[str] | None = None,
        device: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[QmpEvent]:
        """Iterate over events: of these types (None: all), about ``device`` if given.

        It ends when ``timeout`` seconds of all are over and no command is under way; without one,
        when an error does (QmpLostError, QmpNotConnectedError).
        """
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while True:
            async with self._turn:
                event = next(self._connection.events(names, device, 0), None)
            if event is not None:
                yield event
                continue
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                return
            await self._something_comes(left)

    def close(self) -> None:
        """End the connection for good, and with an error whatever waits for it."""
        self._closed = True
        self._wake()
        self._connection.close()
        self._executor.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    async def _run(self, call: Callable[[], _Value]) -> _Value:
        await self._turn.acquire()
        try:
            if self._closed:
                raise QmpNotConnectedError(f"{self._connection.socket_path} was closed here")
            # The thread may close the socket: the loop must not watch it then.
            self._unwatch()
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._executor, call)
        except BaseException:
            self._turn.release()
            raise
        future.add_done_callback(self._ended)
        return await asyncio.shield(future)

    def _ended(self, future: asyncio.Future[_Value]) -> None:
        """What a cancelled caller does not take is taken here, before the next turn."""
        if not future.cancelled():
            future.exception()
        self._turn.release()
        # Events that came before the reply are kept in the session: the socket is silent of them.
        self._wake()

    async def _something_comes(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        try:
            if self._watched is None and not self._turn.locked():
                fd = self._connection.fileno()
                loop.add_reader(fd, self._wake)
                self._watched = loop, fd
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._unwatch()

    def _wake(self) -> None:
        self._unwatch()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _unwatch(self) -> None:
        if self._watched is not None:
            (loop, fd), self._watched = self._watched, None
            if not loop.is_closed():
                loop.remove_reader(fd)


async def connect(socket_path: str | os.PathLike[str], timeout: float | None = None) -> Connection:
    """Connect to a monitor. Raises QmpError's family; then nothing is left open."""
    return await Connection(socket_path, timeout).__aenter__()
