"""``ganeti-hv-kvm metrics``: the guests of this node for Prometheus."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import tempfile
import time
from pathlib import Path

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import condition, figures, guests, prometheus, since

DESCRIPTION = (
    "Writes metrics of this node's guests in Prometheus' text format; names are those of"
    " libvirt_exporter, with the prefix ganeti_kvm_. Guests in trouble are in the metrics, and do"
    " not change the exit status."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--textfile",
        type=Path,
        metavar="PATH",
        help="write them to this file, whole or not at all, for node_exporter's textfile collector"
        " (it reads *.prom)",
    )
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Look, and write the metrics."""
    import ganeti_hv_kvm

    began = time.monotonic()
    read = figures.read(guests.find_all(options.run_dir), options.timeout)
    told = since.note(
        options.run_dir, condition.keys([one.condition for one in read]), are_all=True
    )
    seconds = time.monotonic() - began
    found = prometheus.metrics(read, told, ganeti_hv_kvm.__version__, seconds)
    if options.textfile is not None:
        _replace(options.textfile, prometheus.text(found))
    if options.json:
        samples = [
            {"name": prometheus.PREFIX + one.name, "labels": labels, "value": value}
            for one in found
            for labels, value in one.samples
        ]
        output.write_json({"metrics": samples})
    elif options.textfile is None:
        output.write(prometheus.text(found).rstrip("\n"))
    return exit_status.WELL


def _replace(path: Path, text: str) -> None:
    """Put the file in place at once: its reader may come at any moment."""
    unfinished = None
    path = Path(os.path.realpath(path))
    try:
        if path.exists() and not path.is_file():
            # as root a rename would put a file in the place of /dev/null
            raise OSError(errno.EINVAL, "it is no file")
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
        os.replace(unfinished, path)
    except OSError as err:
        if unfinished is not None:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
        raise CommandError(
            f"{path} cannot be written: {err.strerror}; what was there before still is",
            path=str(path),
        ) from err
