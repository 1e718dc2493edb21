#!/usr/bin/env python3
"""Writes packaging/THIRD-PARTY-LICENSES: the notices of all that is linked into the native part.

    packaging/notices.py [--check]

The crates must have been fetched (`cargo fetch --locked`); `--check` only compares.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "packaging/THIRD-PARTY-LICENSES"
HEAD = """\
The native part of ganeti-hv-kvm is linked statically with the Rust crates below and with Rust's
standard library (the Rust project's developers, "MIT OR Apache-2.0"; its texts are those of most
crates here). Each crate's own notices follow.
"""


def linked() -> dict[str, str]:
    """Give name and version of each crate in the native part, with its licence."""
    command = "cargo tree --locked --edges normal,no-proc-macro --features python --prefix none"
    out = subprocess.run(
        [*command.split(), "--target", "x86_64-unknown-linux-gnu", "--format", "{p}|{l}"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    rows = (line.replace(" (*)", "").split("|") for line in out.splitlines() if line)
    crates = {" v".join(name.split(" v")[:2]).split(" (")[0]: licence for name, licence in rows}
    return {name: text for name, text in sorted(crates.items()) if "ganeti-hv-kvm" not in name}


def folders() -> dict[str, Path]:
    """Give the folder of each crate that the lock file names."""
    out = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version=1", "--all-features"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return {
        f"{one['name']} v{one['version']}": Path(one["manifest_path"]).parent
        for one in json.loads(out)["packages"]
    }


def text() -> str:
    """Give the whole file."""
    parts, places = [HEAD], folders()
    for name, licence in linked().items():
        notices = sorted(
            path
            for path in places[name].iterdir()
            if path.is_file()
            and path.name.upper().startswith(
                ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
            )
        )
        if not notices:
            raise SystemExit(f"{name} ({licence}) comes without a notice: add it by hand")
        parts.append(f"{'=' * 80}\n{name}: {licence}\n")
        for path in notices:
            body = "\n".join(line.rstrip() for line in path.read_text().strip().splitlines())
            parts.append(f"{'-' * 80}\n{path.name}\n\n{body}\n")
    return "\n".join(parts)


def main() -> int:
    """Write or compare; 1 where it is not as it should be."""
    wanted = text()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() == wanted:
            return 0
        print(f"{TARGET} is not up to date: run packaging/notices.py", file=sys.stderr)
        return 1
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
