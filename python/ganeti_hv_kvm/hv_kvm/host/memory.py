"""The memory of this node: its huge pages, and its NUMA nodes."""

from __future__ import annotations

import os
import re

_PAGES = "/sys/kernel/mm/hugepages"
_NODES = "/sys/devices/system/node"
_KIB_OF = {"2M": 2048, "1G": 1 << 20}


def why_no_huge_pages(size: str, mebibytes: int, freed: int = 0) -> str | None:
    """Say why so much memory cannot be had in huge pages now; None if it can.

    Args:
        size: of a page: "2M", "1G", or "default" for the node's.
        mebibytes: of the guest.
        freed: MiB of them that the guest has now, and gives back before.
    """
    return _why_not(_KIB_OF.get(size) or _default_page(), size, mebibytes, freed)


def why_too_few_in(folder: str, mebibytes: int) -> str | None:
    """Say why so much memory cannot be had of the huge pages of a folder.

    None if it can, if the folder has no huge pages at all, or if nobody can tell: QEMU then does.
    """
    try:
        # the size of a block there is that of a page
        page = os.statvfs(folder).f_bsize // 1024
    except OSError:
        return None
    if not os.path.isdir(f"{_PAGES}/hugepages-{page}kB"):
        return None
    return _why_not(page, f"{page} KiB", mebibytes, 0)


def _why_not(page: int | None, size: str, mebibytes: int, freed: int) -> str | None:
    free = _number(f"{_PAGES}/hugepages-{page}kB/free_hugepages") if page else None
    if page is None or free is None:
        return f"this node has no huge pages of the size {size}"
    if mebibytes * 1024 % page:
        return f"{mebibytes} MiB of memory are no whole number of pages of {page} KiB"
    there = free * page // 1024
    if there + freed < mebibytes:
        return (
            f"this node has {there} MiB free in huge pages of {page} KiB, and its memory is"
            f" {mebibytes} MiB"
        )
    return None


def why_no_nodes(wanted: str) -> str | None:
    """Say which of the nodes, such as "0-1", this host does not have; None if it has all."""
    first, _, last = wanted.partition("-")
    missing = [
        str(number)
        for number in range(int(first), int(last or first) + 1)
        if not os.path.isdir(f"{_NODES}/node{number}")
    ]
    return f"this host has no NUMA node {', '.join(missing[:8])}" if missing else None


def _default_page() -> int | None:
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            found = re.search(r"^Hugepagesize:\s+([0-9]+) kB", file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="utf-8") as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return None
