"""Two builds of a wheel, in different places, are the same byte by byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import paths
from packages.conftest import WORK

_AMPLE = 3600.0


def _run(*argv: str | Path, **rest: object) -> str:
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **rest)  # type: ignore[call-overload]
    return str(done.stdout)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source in another folder, as another user would have it."""
    made = tmp_path_factory.mktemp("another") / "place"
    names = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                 cwd=paths.PROJECT).split("\0")  # fmt: skip
    for name in filter(None, names):
        if (paths.PROJECT / name).is_file():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.PROJECT / name, made / name)
    return made


@pytest.mark.timeout(_AMPLE)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_second_build_is_the_same_byte_by_byte(
    machine: str, elsewhere: Path, tmp_path: Path
) -> None:
    (first,) = (WORK / "wheels").glob(f"*{machine}.whl")
    moment = _run("git", "log", "-1", "--format=%ct", cwd=paths.PROJECT).strip()
    environment = {
        **os.environ,
        "PATH": f"{paths.PROJECT}/.venv/bin:{os.environ['PATH']}",
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", moment),
        "WHEELS_TARGET_DIR": str(tmp_path / "target"),
    }
    _run(elsewhere / "packaging/wheels.sh", tmp_path / "wheels", machine, env=environment)
    (second,) = (tmp_path / "wheels").iterdir()
    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()
