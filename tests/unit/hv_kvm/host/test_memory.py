"""Huge pages and NUMA nodes of this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti_hv_kvm.hv_kvm.host import memory


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It has 300 pages of 2 MiB, no page of 1 GiB free, and two nodes."""
    pages = tmp_path / "pages"
    for size, free in ((2048, 300), (1 << 20, 0)):
        (pages / f"hugepages-{size}kB").mkdir(parents=True)
        (pages / f"hugepages-{size}kB/free_hugepages").write_text(f"{free}\n")
    for number in (0, 1):
        (tmp_path / f"nodes/node{number}").mkdir(parents=True)
    monkeypatch.setattr(memory, "_PAGES", str(pages))
    monkeypatch.setattr(memory, "_NODES", str(tmp_path / "nodes"))
    return pages


@pytest.mark.parametrize(
    ("size", "mebibytes", "freed", "why"),
    [
        ("2M", 600, 0, None),
        ("2M", 602, 0, "has 600 MiB free in huge pages of 2048 KiB, and its memory is 602 MiB"),
        ("2M", 1000, 400, None),
        ("2M", 1000, 398, "has 600 MiB free"),
        ("2M", 601, 0, "601 MiB of memory are no whole number of pages of 2048 KiB"),
        ("1G", 1024, 0, "has 0 MiB free in huge pages of 1048576 KiB"),
        ("1G", 1024, 1024, None),
        ("1G", 1536, 0, "no whole number of pages"),
    ],
)
def test_huge_pages(size: str, mebibytes: int, freed: int, why: str | None) -> None:
    said = memory.why_no_huge_pages(size, mebibytes, freed)
    assert (why in said) if why and said else said is why


def test_a_size_that_there_is_not(host: Path) -> None:
    (host / "hugepages-1048576kB/free_hugepages").unlink()
    assert memory.why_no_huge_pages("1G", 1024) == "this node has no huge pages of the size 1G"


def test_the_default_size() -> None:
    # x86-64 has 2 MiB unless its kernel was told otherwise
    assert memory.why_no_huge_pages("default", 600) is None
    assert memory.why_no_huge_pages("default", 602)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("0", None),
        ("0-1", None),
        ("1-3", "this host has no NUMA node 2, 3"),
        ("7", "this host has no NUMA node 7"),
    ],
)
def test_nodes(wanted: str, why: str | None) -> None:
    assert memory.why_no_nodes(wanted) == why
