"""What a source remembers of a guest that left it, and when that keeps the guest from a start."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ganeti import errors, pathutils, ssconf

from ganeti_hv_kvm.hv_kvm.migration import departure

NODE, OTHER = "n1-uuid", "n2-uuid"
TARGET = "192.0.2.2"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pathutils, "DATA_DIR", str(tmp_path))
    return tmp_path / departure.DIRECTORY


def instance(serial=10, *, active=True, uuid="uuid-web", node=NODE, name="web"):
    return SimpleNamespace(
        name=name, uuid=uuid, serial_no=serial, primary_node=node, disks_active=active
    )


def leave(serial=10):
    departure.begin(instance(serial), TARGET)
    departure.mark_left(instance(serial))


def refused(*arguments, **options):
    """The text of the refusal, "" if it may start."""
    try:
        departure.check_start(instance(*arguments, **options))
    except errors.HypervisorError as err:
        return str(err)
    return ""


def test_a_start_that_ganeti_makes_because_it_did_not_hear():
    leave()
    said = refused()
    assert TARGET in said
    assert "gnt-instance migrate --cleanup web" in said
    assert "ganeti-hv-kvm forget-departure web" in said


@pytest.mark.parametrize("what", ["records", "record"])
def test_a_link_to_nothing_is_a_doubt(folder, what):
    """Fault: records on a file system that is not mounted were none, and the guest ran twice."""
    if what == "record":
        folder.mkdir()
    (folder if what == "records" else folder / "web").symlink_to("/nowhere/kvm-departed")
    assert "by migration cannot be told: " in refused()


def test_where_the_records_are_elsewhere(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert not refused()
    leave()
    assert TARGET in refused()


def test_the_node_is_named(monkeypatch):
    store = SimpleNamespace(
        GetNodePrimaryIPList=lambda: ["n1.example.com 192.0.2.1", f"n2.example.com {TARGET}"],
        GetNodeSecondaryIPList=list,
    )
    monkeypatch.setattr(ssconf, "SimpleStore", lambda: store)
    leave()
    assert f"node n2.example.com ({TARGET})" in refused()


def test_being_sent_is_doubt_enough():
    departure.begin(instance(), TARGET)
    assert "how that ended was never heard" in refused()


def test_the_watcher_tries_again_and_again():
    """Each refused start adds two to the serial number, as seen on a cluster."""
    leave(10)
    assert refused(10)
    assert refused(12)
    assert refused(14)


def test_an_operator_who_shuts_down_and_starts_after_a_refusal():
    leave(10)
    assert refused(10)
    assert refused(13)


def test_a_start_that_failed_before_it_came_here():
    leave(10)
    assert refused(12)


@pytest.mark.parametrize("before", [0, 1], ids=["", "refused before"])
def test_failed_over_back(before):
    leave(10)
    if before:
        assert refused(10)
    assert not refused(11, active=False)


def test_moved_shut_down_failed_over_and_started():
    leave(10)
    assert not refused(13)


def test_any_other_change():
    leave(10)
    assert not refused(11)


def test_what_was_heard_stays_heard():
    leave(10)
    assert not refused(11)
    assert not refused(11)
    assert not refused(10)


def test_an_older_configuration_tells_nothing():
    leave(10)
    assert refused(9)


def test_another_primary_node():
    leave(10)
    assert not refused(10, node=OTHER)


def test_another_instance_of_that_name(folder):
    leave()
    assert not refused(uuid="uuid-of-the-new-one")
    assert list(folder.iterdir()) == []


def test_no_record():
    assert not refused()


def test_a_second_migration_is_another_one():
    leave(10)
    departure.mark_left(instance(20))
    assert refused(20)


def test_what_a_listing_knows_is_the_name_alone():
    departure.begin(instance(10), TARGET)
    departure.mark_left(SimpleNamespace(name="web"))
    assert departure.read("web").left
    assert refused(10)
    assert not refused(11)


def test_forgotten():
    leave()
    departure.forget("web")
    departure.forget("web")
    assert not refused()


@pytest.mark.parametrize(("left", "kept"), [(True, True), (False, False)])
def test_the_end_of_one_that_died_on_its_way(left, kept):
    departure.begin(instance(), TARGET)
    if left:
        departure.mark_left(instance())
    departure.forget_unless_left("web")
    assert bool(departure.names()) is kept


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b'{"target": 5}', b"null", b'"' * 70_000],
    ids=["empty", "binary", "list", "object", "deep", "wrong", "null", "long"],
)
def test_a_damaged_record_is_doubt(folder, content):
    leave()
    (folder / "web").write_bytes(content)
    said = refused()
    assert "cannot be told" in said
    assert "ganeti-hv-kvm forget-departure web" in said
    departure.mark_left(instance())  # a new one is written over it
    assert TARGET not in refused()


def test_an_unreadable_record_is_doubt(folder):
    leave()
    (folder / "web").unlink()
    (folder / "web").mkdir()
    assert "cannot be told" in refused()


def test_no_room_for_the_record(folder):
    folder.parent.joinpath(departure.DIRECTORY).write_text("a file where the directory is to be")
    with pytest.raises(errors.HypervisorError, match="cannot be remembered"):
        departure.begin(instance(), TARGET)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_no_name(name):
    with pytest.raises(errors.HypervisorError, match="not the name"):
        departure.begin(instance(name=name), TARGET)


def test_records_of_instances_that_are_no_more(folder, monkeypatch, tmp_path):
    for name in ("web", "old", "other"):
        departure.begin(instance(name=name), TARGET)
    known = tmp_path / "ssconf_instance_list"
    known.write_text("web\nother\nnew\n")
    store = SimpleNamespace(KeyToFilename=lambda key: str(known))
    monkeypatch.setattr(ssconf, "SimpleStore", lambda: store)
    departure.begin(instance(name="new"), TARGET)
    assert departure.names() == {"web", "other", "new"}


def test_a_list_that_cannot_be_read_removes_nothing():
    for name in ("web", "other"):
        departure.begin(instance(name=name), TARGET)
    assert departure.names() == {"web", "other"}


def test_it_is_json_for_whoever_looks(folder):
    leave()
    told = json.loads((folder / "web").read_text())
    assert told["target"] == TARGET
    assert told["left"] is True
