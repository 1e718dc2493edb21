"""Reads an instance's serial console, the way `gnt-instance console` reaches it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from .closing import Closing


class SerialConsole(Closing):
    """The lines that a guest prints; QEMU drops what comes while nobody listens."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    @property
    def begun(self) -> str:
        """What came of a line that has no end yet."""
        return self._rest.decode("utf-8", "replace")

    def send(self, command: str) -> None:
        """Type a line; our guest runs it as a shell command."""
        self._socket.settimeout(10)
        self._socket.sendall(command.encode() + b"\n")

    def wait_for(self, wanted: Callable[[str], object], timeout: float) -> str:
        """The first line from now on that is ``wanted``; TimeoutError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        seen = len(self.lines)
        while True:
            for line in self.lines[seen:]:
                if wanted(line):
                    return line
            seen = len(self.lines)
            self._read(deadline)

    def _read(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
        except TimeoutError:
            last = self.lines[-1] if self.lines else "nothing"
            raise TimeoutError(f"the guest did not say it in time; its last line: {last}") from None
        if not data:
            raise EOFError(f"QEMU closed the serial console; before that: {self.lines[-5:]}")
        *complete, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode("utf-8", "replace").strip() for line in complete]
