"""Links from one document to another, and into it, lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import paths

DOCUMENTS = sorted(
    file
    for place in (".", "docs", "tests", "packaging", "fuzz")
    for file in (paths.PROJECT / place).glob("*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The names that a forge gives to the headings."""
    names = (
        re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(document.read_text())
    )
    return {name.strip().replace(" ", "-") for name in names}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(document.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_documents_name_documents_that_are_there() -> None:
    """Most are named in plain words: "docs/migration.md"."""
    broken = [
        f"{document.name}: {name}"
        for document in DOCUMENTS
        for name in re.findall(r"\bdocs/[\w-]+\.md\b", document.read_text())
        if not (paths.PROJECT / name).exists()
    ]
    assert broken == []
