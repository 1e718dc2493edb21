"""The guest agent (qemu-ga), a program in the guest: which of its vCPUs are online.

It answers on a socket of its QEMU, one client at a time, and only if the guest's owner runs it.
What it says is the guest's own word: it is bounded and checked, and changes nothing on this node.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ganeti import errors

from ganeti_hv_kvm.qmp_values.run_state import quoted

if TYPE_CHECKING:
    from typing_extensions import Self

#: Bytes; 8192 vCPUs take 600 KiB.
_MOST = 1 << 20
_MOST_VCPUS = 1 << 13
_SHOWN = 200
#: Of the time: what one more question and its answer may take.
_LAST_PART = 0.1
#: It makes either side forget what it had begun to read, and marks guest-sync-delimited's reply.
_MARK = b"\xff"


class GuestVcpu(NamedTuple):
    """A vCPU as the guest has it."""

    number: int
    online: bool


class GuestAgent:
    """A connection to the agent of one guest, to be used in a ``with``.

    Each method raises ``errors.HypervisorError``. All of them together have ``seconds``.
    """

    def __init__(self, path: str, seconds: float) -> None:
        """Make one that is not connected yet.

        Args:
            path: of the agent's socket.
            seconds: from now on, until all is done.
        """
        self._path = path
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._unread = b""

    def __enter__(self) -> Self:
        try:
            self._socket.settimeout(self._left())
            self._socket.connect(self._path)
            self._synchronize()
        except OSError as err:
            self._socket.close()
            raise errors.HypervisorError(
                f"{self._path}, the socket of the guest agent: {err}"
            ) from err
        except errors.HypervisorError:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def vcpus(self) -> list[GuestVcpu]:
        """Give the guest's vCPUs, in their order."""
        answer = self._ask("guest-get-vcpus")
        if not isinstance(answer, list) or len(answer) > _MOST_VCPUS:
            raise self._nonsense("guest-get-vcpus", answer)
        return sorted(map(self._vcpu, answer))

    def bring_online(self, numbers: Collection[int]) -> int:
        """Have the guest bring some of its vCPUs online, and give how many of them it did."""
        wanted = [{"logical-id": number, "online": True} for number in numbers]
        answer = self._ask("guest-set-vcpus", {"vcpus": wanted})
        if type(answer) is not int or not 0 <= answer <= len(wanted):
            raise self._nonsense("guest-set-vcpus", answer)
        return answer

    def is_late(self) -> bool:
        """Tell whether so much of its time is over that it should not be asked again."""
        return time.monotonic() >= self._until - self._seconds * _LAST_PART

    def _vcpu(self, told: object) -> GuestVcpu:
        entry = told if isinstance(told, dict) else {}
        number, online = entry.get("logical-id"), entry.get("online")
        if type(number) is not int or type(online) is not bool or not 0 <= number < _MOST_VCPUS:
            raise self._nonsense("guest-get-vcpus", told)
        return GuestVcpu(number, online)

    def _nonsense(self, command: str, answer: object) -> errors.HypervisorError:
        return errors.HypervisorError(
            f"the guest agent's answer to {command} has another form:"
            f" {quoted(str(answer)[:_SHOWN])}"
        )

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._seconds:g} s")
        return left

    def _synchronize(self) -> None:
        """Let everything that was said to an earlier client go by."""
        mine = secrets.randbelow(1 << 31)
        self._send("guest-sync-delimited", {"id": mine}, before=_MARK)
        while self._reply(self._line().rpartition(_MARK)[2]).get("return") != mine:
            pass

    def _ask(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        try:
            self._send(command, arguments)
            reply = self._reply(self._line())
        except OSError as err:
            raise errors.HypervisorError(
                f"the guest agent, asked for {command}: {err}. Whether it did that is not known"
            ) from err
        if "return" not in reply:
            problem = reply.get("error")
            said = problem.get("desc") if isinstance(problem, dict) else None
            raise errors.HypervisorError(
                f"the guest agent refuses {command}: {quoted(str(said)[:_SHOWN])}"
            )
        return reply["return"]

    def _send(
        self, command: str, arguments: Mapping[str, object] | None = None, before: bytes = b""
    ) -> None:
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._socket.settimeout(self._left())
        self._socket.sendall(before + json.dumps(message).encode() + b"\n")

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > _MOST:
                raise errors.HypervisorError("the guest agent does not end its answer")
            self._socket.settimeout(self._left())
            data = self._socket.recv(1 << 16)
            if not data:
                raise errors.HypervisorError("QEMU closed the connection to the guest agent")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    @staticmethod
    def _reply(line: bytes) -> dict[str, object]:
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        return reply if isinstance(reply, dict) else {}
