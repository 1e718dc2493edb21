"""Programs that are run and listened to: no longer than so many seconds, no more than so much."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError

#: Of each of its two outputs: an answer has a hundredth of it.
_MOST_MEBIBYTES = 16
_PIECE = 1 << 16
#: Seconds for the kernel to end a process; one that hangs in it is left behind.
_ENDING = 1.0


class TooMuchError(ValueError):
    """A program printed more than anybody wants; it was ended."""


class Heard(NamedTuple):
    """How a program ended, and what it printed; what is no UTF-8 is replaced."""

    status: int
    stdout: str
    stderr: str


def listen(
    argv: Sequence[str],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> Heard:
    """Run a program to its end, or end it. There is nothing for it to read.

    Args:
        argv: the program and its words.
        seconds: until it has ended, and nobody can write to its outputs any more.
        environment: its variables; those of this process, if none are given.
        directory: where it runs; this process' own, if none is given.

    Raises:
        OSError: it cannot be run.
        OutOfPatienceError: it takes longer.
        TooMuchError: it prints without end.
    """
    until = time.monotonic() + seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=directory,
    )
    try:
        heard = _hear(process, argv[0], until)
        status = process.wait(max(0.0, until - time.monotonic()))
    except (OutOfPatienceError, subprocess.TimeoutExpired) as err:
        raise OutOfPatienceError(f"no answer within {seconds:g} s") from err
    finally:
        _end(process)
    stdout, stderr = (bytes(one).decode("utf-8", "replace") for one in heard)
    return Heard(status, stdout, stderr)


def _outputs(process: subprocess.Popen[bytes]) -> list[IO[bytes]]:
    return [one for one in (process.stdout, process.stderr) if one is not None]


def _hear(process: subprocess.Popen[bytes], name: str, until: float) -> list[bytearray]:
    outputs = _outputs(process)
    heard = [bytearray() for _ in outputs]
    with selectors.DefaultSelector() as selector:
        for output, kept in zip(outputs, heard, strict=True):
            selector.register(output, selectors.EVENT_READ, kept)
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                raise OutOfPatienceError
            for key, _ in selector.select(left):
                piece = os.read(key.fd, _PIECE)
                if not piece:
                    selector.unregister(key.fileobj)
                key.data.extend(piece)
                if len(key.data) > _MOST_MEBIBYTES << 20:
                    raise TooMuchError(
                        f"{name} printed more than {_MOST_MEBIBYTES} MiB, and was ended"
                    )
    return heard


def _end(process: subprocess.Popen[bytes]) -> None:
    # who goes on printing, a child of it too, finds nobody to hear it
    for output in _outputs(process):
        output.close()
    process.kill()  # one that has ended is left alone
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING)
