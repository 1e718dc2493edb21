"""What a listing settles, and what a soft reboot asks before it ends anybody: is the guest here?"""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.lifecycle import reboot
from ganeti_hv_kvm.hv_kvm.migration import afterwards, departure
from unit.hv_kvm.node_of_one import instance

TARGET = "192.0.2.2"


@pytest.fixture
def made(node, monkeypatch):
    """An instance whose guest runs; a reboot that is not refused is one more line in the log."""
    monkeypatch.setattr(reboot, "reboot", lambda _guest: node.log.append("reboot"))
    one = instance()
    node.running(one)
    return one


def test_one_that_is_here(node, made):
    node.hypervisor.RebootInstance(made)
    assert node.log == ["reboot"]


def test_a_silent_one_that_was_never_sent(node, made):
    node.qemu.lose("query-migrate")
    node.hypervisor.RebootInstance(made)
    assert node.log == ["reboot"]


@pytest.mark.parametrize("how", ["loses the connection", "is stopped"])
@pytest.mark.parametrize("left", [False, True])
def test_a_silent_one_that_was_being_sent(node, made, monkeypatch, how, left):
    """Fault: ended by force after the limit, and started: it ran on the other node as well."""
    departure.begin(made, TARGET)
    if left:
        departure.mark_left(made)
    if how == "is stopped":
        monkeypatch.setattr(afterwards, "is_stopped", lambda _guest: True)
    else:
        node.qemu.lose("query-migrate")
    with pytest.raises(errors.HypervisorError, match="not rebooted: its guest") as caught:
        node.hypervisor.RebootInstance(made)
    assert TARGET in str(caught.value)
    assert f"{departure.COMMAND} {made.name}" in str(caught.value)
    assert node.log == []
    assert departure.names() == {made.name}
    departure.forget(made.name)
    node.hypervisor.RebootInstance(made)
    assert node.log == ["reboot"]


def test_a_silent_one_whose_record_cannot_be_read(node, made, tmp_path):
    departure.begin(made, TARGET)
    (tmp_path / departure.DIRECTORY / made.name).write_text("{")
    node.qemu.lose("query-migrate")
    with pytest.raises(errors.HypervisorError, match="cannot be told"):
        node.hypervisor.RebootInstance(made)
    assert node.log == []


@pytest.mark.parametrize("status", ["setup", "active", "cancelling", "device"])
def test_one_that_is_being_sent(node, made, status):
    """Fault: asked to shut down, it may do so on the other node, or be ended when it has left."""
    node.qemu.migration = {"status": status}
    with pytest.raises(errors.HypervisorError, match=f"under way \\('{status}'\\)"):
        node.hypervisor.RebootInstance(made)
    assert node.log == []


# A listing looks at what migrations left: that is one guest's matter

_RECORD = (
    '{"target": "", "left": false, "uuid": null, "serial_no": null, "primary_node": null,'
    ' "refused": null, "began": %s}'
)
_ODD = {
    "no text": bytes(range(256)),
    "deep": b"[" * 100_000,
    "no time": (_RECORD % ("9" * 400)).encode(),
    "before all times": (_RECORD % "-1e400").encode(),
    "a large number": b"9" * 5000,
}


@pytest.mark.parametrize("content", _ODD)
@pytest.mark.parametrize("where", ["note", "record"])
def test_what_is_damaged_hides_no_guest(node, made, tmp_path, where, content, caplog):
    """Fault: ListInstances raised RecursionError, or OverflowError, for the whole node."""
    departure.begin(made, TARGET)
    record = tmp_path / departure.DIRECTORY / made.name
    path = record if where == "record" else type(record)(node.files.migration)
    path.write_bytes(_ODD[content])
    open(node.files.pidfile, "w").close()
    assert node.hypervisor.ListInstances() == [made.name]
    assert made.name in caplog.text
    assert all(len(record.getMessage()) < 1500 for record in caplog.records)


@pytest.mark.parametrize("began", ["-1", "1e400", "NaN", "9" * 400])
def test_a_record_of_no_time_is_a_doubt(node, made, tmp_path, began):
    """It says that the guest was being sent, whenever that was: no start, and it stays."""
    departure.begin(made, TARGET)
    (tmp_path / departure.DIRECTORY / made.name).write_text(_RECORD % began)
    with pytest.raises(errors.HypervisorError, match=r"cannot be told.*forget-departure"):
        departure.check_start(made)
    assert departure.names() == {made.name}
