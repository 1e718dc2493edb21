"""Runs one of Ganeti's own test files, unmodified, with a chosen hv_kvm module in its place.

    run_suite.py GENERATION MODULE unittest|pytest FILE

The last line on standard output is JSON: which file every hv_kvm module of this process came from.
The exit status is the suite's.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness import node, paths

_PREFIX = "ganeti.hypervisor.hv_kvm"


def _prepare(generation: str, module: str, suite: Path) -> node.Node:
    made = node.make_node(generation, module)
    # The suites find their recordings from here, and their helpers beside themselves.
    os.environ["TOP_SRCDIR"] = str(paths.GANETI_SUITE[generation])
    sys.path.insert(0, str(suite.parent))
    _alias_source_tree()
    return made


def _alias_source_tree() -> None:
    """3.1's suite imports ``lib.hypervisor...`` as well: the package's name in the source tree."""
    for name in ("ganeti", "ganeti.hypervisor", _PREFIX, f"{_PREFIX}.kvm_runtime"):
        try:
            module = importlib.import_module(name)
        except ImportError:  # 3.0 has no kvm_runtime
            continue
        sys.modules["lib" + name.removeprefix("ganeti")] = module


def _run(kind: str, suite: Path) -> int:
    if kind == "pytest":
        options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(suite.parent)]
        return int(pytest.main([*options, str(suite)]))
    sys.argv = [str(suite)]
    try:
        runpy.run_path(str(suite), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main(generation: str, module: str, kind: str, file: str) -> int:
    suite = Path(file)
    made = _prepare(generation, module, suite)
    try:
        status = _run(kind, suite)
    finally:
        made.remove()
    origins = {
        name: loaded.__file__
        for name, loaded in sorted(sys.modules.items())
        if name == _PREFIX or name.startswith(f"{_PREFIX}.")
    }
    sys.stderr.flush()
    print(json.dumps(origins), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
