"""Our command line is the original's, word for word, but for a written table of differences."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from contract.command_line import cases, differences
from contract.command_line.comparison import (
    GANETIS,
    QEMUS,
    Row,
    all_cases,
    answers,
    drive,
    results,
    values,
)
from harness import paths


def _difference(name: str, expected: list[str], found: list[str]) -> str:
    lines = difflib.unified_diff(expected, found, "expected", "ours", lineterm="", n=1)
    return "\n".join([f"== {name}", *lines])


def _plain(ganeti: str, qemu: str) -> list[Row]:
    return [row for row in results(ganeti, qemu) if "difference" not in row[0]]


def _special(ganeti: str, qemu: str) -> list[Row]:
    return [row for row in results(ganeti, qemu) if "difference" in row[0]]


both = pytest.mark.parametrize("ganeti", GANETIS)
each = pytest.mark.parametrize(("ganeti", "qemu"), [(g, q) for g in GANETIS for q in QEMUS])


@both
def test_there_are_enough_cases_with_every_parameter(ganeti: str) -> None:
    parameters = values(ganeti)

    assert len(parameters) == 65
    assert set(cases.VALUES) <= set(parameters)
    assert all(len(options) > 1 for options in parameters.values())
    assert len(all_cases(ganeti)) >= 200


@each
def test_most_cases_make_a_command_line(ganeti: str, qemu: str) -> None:
    made = [case["id"] for case, theirs, _ in results(ganeti, qemu) if "argv" in theirs]

    assert len(made) >= 400


@each
@pytest.mark.parametrize("part", ["argv", "stored"])
def test_arguments_are_the_originals(ganeti: str, qemu: str, part: str) -> None:
    wrong = []
    for case, theirs, mine in _plain(ganeti, qemu):
        if "error" in theirs or "error" in mine:
            continue
        expected, _ = differences.apply(theirs[part], case, ganeti, qemu)
        if mine[part] != expected:
            wrong.append(_difference(case["id"], expected, mine[part]))

    assert not wrong, "\n".join(wrong)


@each
def test_places_of_the_devices_are_the_originals(ganeti: str, qemu: str) -> None:
    wrong = []
    for case, theirs, mine in _plain(ganeti, qemu):
        if "error" in theirs or "error" in mine:
            continue
        expected = differences.places(theirs["places"], case)
        if [list(place.items()) for place in mine["places"]] != [
            list(place.items()) for place in expected
        ]:
            wrong.append(f"{case['id']}: expected {expected}, ours {mine['places']}")

    assert not wrong, "\n".join(wrong)


def _is_cdrom_on_scsi(case: cases.Case, theirs: dict[str, Any]) -> bool:
    """Whether it is the difference cdrom-on-scsi, whose words a unit test compares."""
    unset = not case["hvparams"].get("cdrom_disk_type")
    return unset and "Unsupported cdrom disk type: scsi-" in theirs.get("error", "")


@each
def test_what_the_original_refuses_ours_refuses(ganeti: str, qemu: str) -> None:
    wrong = [
        f"{case['id']}: original {theirs.get('error')}, ours {mine.get('error')}"
        for case, theirs, mine in _plain(ganeti, qemu)
        if (("error" in theirs) != ("error" in mine) and not _is_cdrom_on_scsi(case, theirs))
        or ("error" in mine and not mine["hypervisor_error"])
    ]

    assert not wrong, "\n".join(wrong)


@each
def test_special_cases(ganeti: str, qemu: str) -> None:
    rows = _special(ganeti, qemu)
    given = [differences.for_original(case) for case, _, _ in rows if not case.get("fails")]
    stand_ins = iter(drive(ganeti, "original", answers(qemu), given=given))
    wrong = []
    for case, theirs, mine in rows:
        assert theirs != mine, f"{case['id']}: there is no difference"
        if case.get("fails"):
            assert mine["hypervisor_error"], mine
            assert not theirs.get("hypervisor_error"), theirs
            continue
        expected = differences.from_original(next(stand_ins), case)
        if mine != expected:
            wrong.append(
                _difference(case["id"], expected.get("argv", [str(expected)]), mine.get("argv", []))
                + str(mine.get("error", ""))
            )

    assert not wrong, "\n".join(wrong)


def test_every_row_of_the_table_is_needed() -> None:
    used: set[tuple[str, str, str]] = set()
    for ganeti in GANETIS:
        for qemu in QEMUS:
            for case, theirs, _ in results(ganeti, qemu):
                names = {case["difference"]} if "difference" in case else set()
                if "argv" in theirs and not names:
                    _, names = differences.apply(theirs["argv"], case, ganeti, qemu)
                if _is_cdrom_on_scsi(case, theirs):
                    names = names | {"cdrom-on-scsi"}
                used |= {(name, ganeti, qemu) for name in names}
    written = {
        (name, ganeti, qemu)
        for name, row in differences.table().items()
        for ganeti in row["ganeti"]
        for qemu in row["qemu"]
    }

    assert used == written


def test_the_table_is_in_the_documentation() -> None:
    text = (paths.PROJECT / "docs/differences.md").read_text()

    missing = [name for name in differences.table() if f"`{name}`" not in text]
    assert not missing
