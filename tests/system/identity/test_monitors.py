"""Who holds a monitor is said, however its path is spelled; what one guest tells harms no other."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ganeti_hv_kvm import QmpConnection
from ganeti_hv_kvm.errors import QmpTimeoutError
from harness import lock_holder
from oracle.stand_in import GREETING, StandIn

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]
_HOLD = """
import sys
from ganeti_hv_kvm import QmpConnection
connection = QmpConnection(sys.argv[1], 30)
connection.connect()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("holder_spells", ["plain", "link", "relative"])
@pytest.mark.parametrize("we_spell", ["plain", "link", "relative"])
def test_another_client_is_named(start, tmp_path, monkeypatch, holder_spells, we_spell):
    (guest,) = start()
    folder = tmp_path / "link"
    folder.symlink_to(guest.qmp.parent)
    monkeypatch.chdir(guest.qmp.parent.parent)
    spellings = {
        "plain": str(guest.qmp),
        "link": str(folder / guest.qmp.name),
        "relative": f"./ctrl/../ctrl/{guest.qmp.name}",
    }
    command = [sys.executable, "-c", _HOLD, spellings[holder_spells]]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"\n"
        expected = f"another client holds this monitor: process {holder.pid}"
        with pytest.raises(QmpTimeoutError, match=expected):
            QmpConnection(spellings[we_spell], 0.5).connect()
        holder.stdin.close()


def test_a_holder_within_this_process_is_named_too(start):
    (guest,) = start()
    held = QmpConnection(str(guest.qmp), 30)
    held.connect()
    with pytest.raises(QmpTimeoutError, match=f"process {os.getpid()}$"):
        QmpConnection(str(guest.qmp), 0.5).connect()
    held.close()


def answering(replies: dict[str, object]):
    def behave(peer) -> None:
        peer.send(GREETING)
        while True:
            command = peer.command()
            peer.answer(command, replies.get(command["execute"], {}))

    return behave


NONSENSE = [
    {"query-balloon": {"actual": -5e300}},
    {"query-balloon": {"actual": True}},
    {"query-cpus-fast": 7},
    {"query-status": {"status": "a\nforged: line" * 1000}},
    {"query-status": []},
]


@pytest.mark.parametrize("replies", NONSENSE, ids=range(len(NONSENSE)))
def test_one_guests_nonsense_is_its_own(hypervisor, start, caplog, replies):
    (guest,) = start()
    name = "odd.example.com"
    root = Path(type(hypervisor)._ROOT_DIR)
    well = {"query-status": {"status": "running"}, "query-cpus-fast": [{}]}
    well["query-balloon"] = {"actual": 32 << 20}
    words = ("-name", name, "-m", "48", "-smp", "3")
    with ExitStack() as stack:
        pidfile, monitor = root / "pid" / name, root / "ctrl" / f"{name}.qmp"
        process = lock_holder.running(pidfile, root / "none", words=words)
        pid = stack.enter_context(process).pid
        StandIn(monitor, answering({**well, **replies}))
        infos = {info[0]: info for info in hypervisor.GetAllInstancesInfo()}
    assert set(infos) == {guest.name, name}
    told = (1, 32) if replies == NONSENSE[3] else (3, 48)
    assert infos[name] == (name, pid, told[1], told[0], infos[guest.name][4], 0)
    assert name in caplog.text
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)
    assert all(record.getMessage().isprintable() for record in caplog.records)
    monitor.unlink()
    pidfile.unlink()
