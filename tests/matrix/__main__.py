"""The whole matrix: python -m matrix [FILTER]; the exit status is 0 if nothing is wrong."""

from __future__ import annotations

import subprocess
import sys
import time

from harness import node, paths
from matrix import parameters, run


def make_network() -> None:
    """A bridge with an address: SPICE listens nowhere on a machine that has loopback's alone."""
    node.make_bridge()
    subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", node.BRIDGE], check=True)


def main(wanted: str = "") -> int:
    make_network()
    alone, pairs = parameters.alone(), parameters.in_pairs()
    cases = [case for case in (*alone, *pairs) if wanted in case["id"]]
    in_pairs = {case["id"] for case in pairs}
    wrong = 0
    for setting in run.SETTINGS:
        start = time.monotonic()
        theirs = run.outcomes(setting, node.ORIGINAL, cases)
        middle = time.monotonic()
        ours = run.outcomes(setting, node.OURS, cases)
        seconds = (middle - start, time.monotonic() - middle)
        for case, original, mine in zip(cases, theirs, ours, strict=True):
            fault = run.fault(
                mine,
                original,
                must_start=case["id"] in in_pairs,
                by_script=setting.qemu == paths.QEMU_10,
            )
            wrong += fault is not None
            if fault:
                print(f"== {setting.name}: {case['id']}\n   {fault}")
            if wanted:
                print(f"-- {setting.name}: {case['id']}")
                for who, one in (("original", original), ("ours", mine)):
                    print(f"   {who}: {one['stage']} {one['text'][:300]!r}")
        for who, found, took in (("original", theirs, seconds[0]), ("ours", ours, seconds[1])):
            runs = sum(one["stage"] == "runs" for one in found)
            print(f"{setting.name}, {who}: {runs} of {len(cases)} run, {took:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
