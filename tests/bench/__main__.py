"""Measures, prints tables, and leaves them in .work/bench."""

from __future__ import annotations

import argparse
import sys
import time

from harness import node, paths

from . import awake, report, suites


def _say(suite: str) -> None:
    print(f"[bench {time.strftime('%H:%M:%S')}] {suite}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("suite", nargs="*", help=", ".join(suites.SUITES))
    parser.add_argument("--quick", action="store_true", help="does it work at all?")
    parser.add_argument("--publish", action="store_true", help="into docs/performance.md too")
    wanted = parser.parse_args()
    if unknown := set(wanted.suite) - set(suites.SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    node.require_sandbox()
    effort = suites.QUICK if wanted.quick else suites.FULL
    with awake.kept():
        found = suites.run(wanted.suite or suites.SUITES, effort, _say)
    report.write(found, paths.WORK / "bench")
    print(report.markdown(found))
    if wanted.publish:
        report.publish(found, paths.PROJECT / "docs/performance.md")


if __name__ == "__main__":
    main()
