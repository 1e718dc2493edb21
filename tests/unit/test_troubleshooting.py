"""docs/troubleshooting.md has each text that an operator may meet.

A text is known by the longest of its literal parts; what is filled in is not compared.
"""

from __future__ import annotations

import re

from harness import messages, paths

DOCUMENT = paths.PROJECT / "docs/troubleshooting.md"
RUST_TEXTS = ("src/qmp/error.rs", "src/qmp/codec.rs", "src/tap/error.rs")
_SHORTEST = 8


def plain(text: str) -> str:
    """Without what a document and a program write differently."""
    return " ".join(re.sub(r"[`'\"\\|]", "", text).split()).lower()


def test_each_text_is_there() -> None:
    document = plain(DOCUMENT.read_text())
    found = list(messages.messages())
    assert len(found) > 100
    missing = [
        f"{one.place}: {one.key}"
        for one in found
        if len(one.key) >= _SHORTEST and plain(one.key) not in document
    ]
    assert missing == [], "say in docs/troubleshooting.md what these mean, and what to do"


def test_the_native_parts_texts_are_there() -> None:
    document = plain(DOCUMENT.read_text())
    literal = re.compile(r'(?:write!\(\s*f,\s*|write_str\(\s*)"((?:[^"\\]|\\.)*)"')
    keys = []
    for name in RUST_TEXTS:
        for text in literal.findall((paths.PROJECT / name).read_text()):
            parts = [part.strip(" :;,.()") for part in re.split(r"\{[^}]*\}", text)]
            keys.append(max(parts, key=len))
    assert len(keys) > 10
    missing = [key for key in keys if len(key) >= _SHORTEST and plain(key) not in document]
    assert missing == []


def test_a_text_that_is_not_there_would_be_missed() -> None:
    assert plain("the guest's sky is green") not in plain(DOCUMENT.read_text())
