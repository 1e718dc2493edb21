"""The asyncio face with a real QEMU."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from ganeti_hv_kvm import aio, errors
from native.conftest import AMPLE

pytestmark = pytest.mark.qemu
SHORT = 0.3


async def told(connection: aio.Connection, *names: str) -> list[str]:
    """The first events of these names, as many as names."""
    found = []
    async for event in connection.events(names, timeout=AMPLE):
        found.append(event.event_type)
        if len(found) == len(names):
            break
    return found


def test_commands_and_events_at_once(qemu):
    async def main() -> None:
        async with await aio.connect(qemu.path, AMPLE) as connection:
            assert connection.peer_pid == qemu.process.pid
            assert connection.version is not None
            stops = asyncio.create_task(told(connection, "STOP"))
            resumes = asyncio.create_task(told(connection, "RESUME"))
            await asyncio.sleep(SHORT)
            status = connection.execute("query-status")
            replies = await asyncio.gather(
                status, connection.execute("stop"), connection.execute("cont")
            )
            assert replies[0]["running"] is True
            assert (await stops, await resumes) == (["STOP"], ["RESUME"])

    asyncio.run(main())


def test_events_that_no_command_brings_and_their_time(qemu):
    async def main() -> None:
        async with aio.Connection(qemu.path, AMPLE) as connection:
            started = time.monotonic()
            assert [event async for event in connection.events(timeout=SHORT)] == []
            assert SHORT <= time.monotonic() - started < AMPLE
            shut = asyncio.create_task(told(connection, "SHUTDOWN"))
            await asyncio.sleep(SHORT)
            os.kill(qemu.process.pid, signal.SIGTERM)
            assert await shut == ["SHUTDOWN"]
            with pytest.raises(errors.QmpLostError):
                await told(connection, "STOP")
            with pytest.raises(errors.QmpNotConnectedError):
                await connection.execute("query-status")

    asyncio.run(main())


def test_a_cancelled_command_harms_no_other(qemu):
    async def main() -> None:
        async with aio.Connection(qemu.path, AMPLE) as connection:
            os.kill(qemu.process.pid, signal.SIGSTOP)
            first = asyncio.create_task(connection.execute("query-version"))
            waits = asyncio.create_task(connection.execute("stop"))
            third = asyncio.create_task(connection.execute("query-status"))
            await asyncio.sleep(SHORT)
            first.cancel()
            waits.cancel()
            await asyncio.wait({first, waits})
            os.kill(qemu.process.pid, signal.SIGCONT)
            # The third gets its own reply, and "stop" was never sent.
            assert (await third)["running"] is True
            assert first.cancelled()
            assert waits.cancelled()
            assert [event async for event in connection.events(timeout=0)] == []

    asyncio.run(main())


def test_a_cancelled_stream_loses_no_event(qemu):
    async def main() -> None:
        async with aio.Connection(qemu.path, AMPLE) as connection:
            stream = asyncio.create_task(told(connection, "STOP"))
            await asyncio.sleep(SHORT)
            stream.cancel()
            await asyncio.wait({stream})
            await connection.execute("stop")
            assert await told(connection, "STOP") == ["STOP"]

    asyncio.run(main())


def test_close_ends_what_waits(qemu):
    async def main() -> None:
        connection = await aio.connect(qemu.path, AMPLE)
        stream = asyncio.create_task(told(connection, "STOP"))
        await asyncio.sleep(SHORT)
        connection.close()
        with pytest.raises(errors.QmpNotConnectedError):
            await asyncio.wait_for(stream, AMPLE)
        with pytest.raises(errors.QmpNotConnectedError):
            await connection.execute("query-status")

    asyncio.run(main())


def test_what_cannot_be_reached_is_said(qemu, tmp_path):
    async def main() -> None:
        with pytest.raises(errors.QmpConnectError):
            await aio.connect(tmp_path / "none")
        async with aio.Connection(qemu.path, AMPLE):
            with pytest.raises(errors.QmpTimeoutError) as busy:
                await aio.connect(qemu.path, SHORT)
            assert busy.value.peer_state == "busy"

    asyncio.run(main())


def test_the_loop_goes_on_while_a_guest_hangs(qemu):
    async def main() -> None:
        async with aio.Connection(qemu.path, AMPLE) as connection:
            os.kill(qemu.process.pid, signal.SIGSTOP)
            try:
                call = asyncio.create_task(connection.execute("query-status", timeout=SHORT))
                ticks = 0
                while not call.done():
                    await asyncio.sleep(SHORT / 10)
                    ticks += 1
            finally:
                os.kill(qemu.process.pid, signal.SIGCONT)
            assert ticks >= 5
            with pytest.raises(errors.QmpTimeoutError):
                await call

    asyncio.run(main())
