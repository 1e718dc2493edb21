"""Runs one scenario with one module; started by `judge`, inside the sandbox.

    run.py GENERATION MODULE SCENARIO_FILE FUNCTION

The last line on standard output is "held", or "fault: " and what was wrong. Any other end means
that the scenario itself is broken.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import node
from oracle.place import Fault, Place


def main(generation: str, module: str, file: str, function: str) -> None:
    made = node.make_node(generation, module)
    try:
        scenario = getattr(importlib.import_module(f"oracle.scenarios.{file}"), function)
        try:
            scenario(Place(made))
        except Fault as fault:
            print("\nfault:", " ".join(str(fault).split()), flush=True)
        else:
            print("\nheld", flush=True)
    finally:
        made.remove()


if __name__ == "__main__":
    main(*sys.argv[1:])
