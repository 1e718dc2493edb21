"""All that one guest's files, process and QEMU tell, asked once and under one deadline.

What cannot be had costs its own part: the reason stands in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ganeti_hv_kvm.cli.node import devices, process, qemu_log, runtime_file
from ganeti_hv_kvm.cli.node import look as looking
from ganeti_hv_kvm.cli.node.look import Look, Question
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within

if TYPE_CHECKING:
    from ganeti_hv_kvm.cli.node.guests import LocalGuest
    from ganeti_hv_kvm.cli.node.process import Process
    from ganeti_hv_kvm.cli.node.qemu_log import LogEnd
    from ganeti_hv_kvm.cli.node.runtime_file import RuntimeFile

T = TypeVar("T")

STATUS, BLOCK, PCI, MIGRATION = "query-status", "query-block", "query-pci", "query-migrate"
BLOCK_STATS, VERSION, DEVICES = "query-blockstats", "query-version", "devices"
#: In this order: a disk that hangs may hold up what follows query-block.
_QUESTIONS: Mapping[str, Question] = {
    **{name: name for name in (VERSION, STATUS, MIGRATION, PCI)},
    DEVICES: ("qom-list", {"path": devices.PERIPHERALS}),
    **{name: name for name in (BLOCK, BLOCK_STATS)},
}
#: Of the deadline: what the kernel gets to tell of a process that hangs.
_FOR_THE_KERNEL = 0.5
_LEAST = 0.1


class Inquiry(NamedTuple):
    """What was found; None, and a reason beside it, for what could not be had.

    Attributes:
        seen: the process, the monitor, and what QEMU answered.
        process: the QEMU and its threads.
        runtime: the runtime file; None also if there is none.
        runtime_error: why it cannot be read.
        macs: of NICs, by id.
        log: the end of QEMU's log; None also if there is none.
        log_error: why it cannot be read.
        seconds: how long was waited.
    """

    seen: Look
    process: Process | None
    runtime: RuntimeFile | None
    runtime_error: str | None
    macs: dict[str, str]
    log: LogEnd | None
    log_error: str | None
    seconds: float

    @property
    def guest(self) -> LocalGuest:
        """Whose it is."""
        return self.seen.guest

    @property
    def pid(self) -> int | None:
        """Its QEMU; None where none runs, or that cannot be told."""
        return self.seen.pid

    @property
    def replies(self) -> Mapping[str, object]:
        """QEMU's answers, by the names above."""
        return self.seen.values


def inquire(
    guest: LocalGuest, log_directory: Path, seconds: float, *, log_lines: int = 10
) -> Inquiry:
    """Ask everything; nothing is changed.

    Args:
        guest: whose.
        log_directory: where the logs of QEMUs lie.
        seconds: for everything together.
        log_lines: how many of the log's last lines.
    """
    deadline = time.monotonic() + seconds
    runtime, runtime_error = _had(lambda: runtime_file.read(guest.runtime), _FOR_THE_KERNEL)
    macs = {} if runtime is None else _mac_questions(runtime)
    left = max(_LEAST, deadline - time.monotonic() - _FOR_THE_KERNEL)
    (seen,) = looking.look([guest], {**_QUESTIONS, **macs}, left)
    told, pid = None, seen.pid
    if pid is not None:
        told, _ = _had(lambda: process.read(pid), _FOR_THE_KERNEL)
    path = log_directory / f"{guest.name}.log"
    log, log_error = _had(lambda: qemu_log.read_end(path, log_lines), _FOR_THE_KERNEL)
    return Inquiry(
        seen=seen,
        process=told,
        runtime=runtime,
        runtime_error=runtime_error,
        macs={name: mac for name in macs if isinstance(mac := seen.values.get(name), str)},
        log=log,
        log_error=log_error,
        seconds=seconds,
    )


def _mac_questions(runtime: RuntimeFile) -> dict[str, Question]:
    """A question for the MAC of each NIC, by the NIC's id."""
    return {
        nic.name: ("qom-get", {"path": f"{devices.PERIPHERALS}/{nic.name}", "property": "mac"})
        for nic in devices.in_runtime(runtime)
        if nic.kind == "NIC"
    }


def differences(found: Inquiry) -> list[devices.Difference] | None:
    """Compare the runtime file with QEMU's devices; None where either is not known.

    Raises:
        ValueError: QEMU told what cannot be.
    """
    if found.runtime is None or DEVICES not in found.replies:
        return None
    try:
        there = devices.in_qemu(
            found.replies[DEVICES],
            found.replies.get(BLOCK),
            found.replies.get(PCI),
            found.macs,
        )
        return devices.differences(
            devices.in_runtime(found.runtime), there, devices.named_in(found.runtime.command)
        )
    except (AttributeError, TypeError, KeyError) as err:
        raise ValueError(f"QEMU tells of its devices what cannot be: {err}") from err


def _had(look: Callable[[], T], seconds: float) -> tuple[T | None, str | None]:
    try:
        return within(seconds, look), None
    except (OSError, ValueError, OutOfPatienceError) as err:
        return None, str(err)
