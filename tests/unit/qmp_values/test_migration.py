"""What QEMU says of a migration is checked before it is believed."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.qmp_values import migration as answers


def test_what_it_says():
    told = answers.read_migration(
        {
            "status": "active",
            "ram": {
                "transferred": 3,
                "total": 12,
                "dirty-sync-count": 1,
                "remaining": 9,
                "dirty-pages-rate": 100,
                "page-size": 4096,
                "mbps": 16.5,
            },
            "total-time": 5,
        }
    )
    assert told == answers.Migration("active", "", 3, 12, 1, 9, 409600, 2062500, 0.005, True)


@pytest.mark.parametrize("nonsense", [-1, "fast", None, [], True, 1e300, float("nan")])
def test_a_speed_that_is_none(nonsense):
    ram = {"mbps": nonsense, "dirty-pages-rate": nonsense, "page-size": 4096}
    told = answers.read_migration({"status": "active", "ram": ram, "total-time": nonsense})
    assert (told.speed, told.changed, told.seconds) == (0, 0, 0.0)


def test_one_that_came_here():
    assert not answers.read_migration({"status": "completed"}).outgoing
    assert not answers.read_migration({"status": "completed", "ram": "much"}).outgoing


def test_it_never_migrated():
    assert answers.read_migration({}) == answers.Migration()


@pytest.mark.parametrize("answer", [None, [], "active", 5, True])
def test_no_object(answer):
    for read in (answers.read_migration, answers.read_run_state):
        with pytest.raises(errors.HypervisorError, match="not with an object"):
            read(answer)


@pytest.mark.parametrize(
    "status",
    [None, 5, True, [], {}, "", "a b", "active\nforged: line", "x" * 65, "completed\0", "ACTIVE"],
)
def test_a_status_that_is_none(status):
    for read in (answers.read_migration, answers.read_run_state):
        with pytest.raises(errors.HypervisorError, match="status that is none") as caught:
            read({"status": status})
        assert "\n" not in str(caught.value)


def test_a_run_state_must_be_there():
    with pytest.raises(errors.HypervisorError, match="status that is none"):
        answers.read_run_state({})


@pytest.mark.parametrize(
    "ram",
    [
        None,
        [],
        5,
        {},
        {"transferred": -1, "total": 12},
        {"transferred": 1, "total": -12},
        {"transferred": 1, "total": 1e300},
        {"transferred": 1.5, "total": 12},
        {"transferred": 1, "total": 1 << 63},
        {"transferred": 10**4000, "total": 12},
        {"transferred": True, "total": True},
        {"transferred": "1", "total": "12"},
        {"transferred": 0, "total": 0},
        {"total": 12},
    ],
)
def test_numbers_that_are_none(ram):
    told = answers.read_migration({"status": "active", "ram": ram})
    assert (told.transferred, told.total, told.passes) == (None, None, 0)


@pytest.mark.parametrize("count", [-1, 2.0, "2", None, 1 << 64])
def test_passes_that_are_none(count):
    assert answers.read_migration({"ram": {"dirty-sync-count": count}}).passes == 0


def test_a_reason_of_a_mebibyte():
    told = answers.read_migration({"status": "failed", "error-desc": "x" * (1 << 20)})
    assert len(told.error) < 600
    assert "1048576 characters" in told.error


def test_a_reason_with_lines_and_codes():
    told = answers.read_migration({"status": "failed", "error-desc": "one\ntwo\x1b[31m\u202e"})
    assert told.error == r"one\ntwo\x1b[31m\u202e"


@pytest.mark.parametrize("reason", [None, 5, [], {}])
def test_a_reason_that_is_no_text(reason):
    assert answers.read_migration({"status": "failed", "error-desc": reason}).error == ""


def test_progress():
    told = answers.read_progress(
        {
            "ram": {"remaining": 300, "mbps": 8e-4, "dirty-pages-rate": 1, "page-size": 50},
            "expected-downtime": 300,
            "total-time": 1500,
            "blocked-reasons": ["a\nb", 7],
        }
    )
    assert told == answers.Progress(300, 100.0, 50.0, 0.3, 1.5, (r"a\nb",))
    assert told.seconds_left == 6.0
    assert told._replace(dirty_rate=100.0).seconds_left == float("inf")
    # what QEMU 10 told of a guest that rewrote all that was sent, in two looks
    for megabits, pages in ((10.50768, 316), (9.729333, 313)):
        rate = megabits * 1e6 / 8
        endless = told._replace(rate=rate, dirty_rate=4096.0 * pages)
        assert endless.seconds_left == float("inf")
    assert told._replace(rate=None).seconds_left is None


@pytest.mark.parametrize(
    "answer",
    [None, [], {"ram": 7}, {"ram": {"mbps": -1, "remaining": -1}}, {"ram": {"mbps": 1e300}}],
)
def test_progress_of_nonsense_is_none(answer):
    assert answers.read_progress(answer) == answers.Progress()
    assert answers.read_progress({"ram": {"mbps": float("nan")}}).rate is None
