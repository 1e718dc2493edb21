"""The examples of docs/library.md, each in a Python of its own with a real QEMU."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness import paths

pytestmark = [pytest.mark.qemu, pytest.mark.root]

TEXT = (paths.PROJECT / "docs/library.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_all_are_found() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") >= 7


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example(qemu, example: str) -> None:
    code = f"monitor = {str(qemu.path)!r}\n{example}"
    command = ["unshare", "--net", sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
