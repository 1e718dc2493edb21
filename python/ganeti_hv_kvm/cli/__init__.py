"""The operator's command: enable, disable, status, forget-departure.

Exit status: 0 done, or for `status`: Ganeti gets this package's KVM module; 1 for `status` alone:
Ganeti gets its original; 2 wrong usage; 3 failed, with the reason on stderr and nothing changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ganeti_hv_kvm.cli import departures, site_hook
from ganeti_hv_kvm.cli.interpreter import Answer, AskError, Runtime, ask, find_runtime

DONE, ORIGINAL, FAILED = 0, 1, 3

_RESTART = (
    "Programs that run already keep what they have: restart the node daemon on this node "
    "(Debian: service ganeti restart). Guests keep running."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command, and give the exit status."""
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
    except (AskError, site_hook.HookError) as err:
        print(f"ganeti-hv-kvm: {err}", file=sys.stderr)
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ganeti-hv-kvm",
        description="Let Ganeti on this node use ganeti-hv-kvm in place of its own KVM module.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--ganeti",
        type=Path,
        metavar="DIR",
        help="the directory of Ganeti's code (default: that of ganeti-noded)",
    )
    enable = commands.add_parser("enable", parents=[where], help="from now on, use it")
    enable.set_defaults(run=_enable)
    disable = commands.add_parser("disable", parents=[where], help="back to Ganeti's own")
    disable.set_defaults(run=_disable)
    status = commands.add_parser(
        "status",
        parents=[where],
        help="which module Ganeti would get, and why",
        description="Exit status: 0 ganeti-hv-kvm's, 1 Ganeti's own, 3 it cannot be told.",
    )
    status.add_argument(
        "--python",
        metavar="PATH",
        help="the Python to ask (default: the one that runs ganeti-noded)",
    )
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)
    departures.add_to(commands, where)
    return parser


def _enable(options: argparse.Namespace) -> int:
    runtime = find_runtime(options.ganeti)
    here = Runtime(sys.executable, runtime.ganeti_directory)
    trial = ask(here, as_if_enabled=True)
    if trial.module != "replacement":
        raise site_hook.HookError(f"not enabled, it would not work here: {trial.why}")
    path, changed = site_hook.write()
    print(f"Enabled{'' if changed else ' already'}, by {path}.")
    _tell_about_ganetis_python(ask(runtime))
    print(_RESTART)
    return DONE


def _disable(options: argparse.Namespace) -> int:
    removed = site_hook.remove()
    for path in removed:
        print(f"Removed {path}.")
    if not removed:
        print(f"Was not enabled for {sys.executable}.")
    try:
        _tell_about_ganetis_python(ask(find_runtime(options.ganeti)))
    except AskError as err:
        print(f"Ganeti was not asked: {err}.")
    print(_RESTART)
    return DONE


def _tell_about_ganetis_python(answer: Answer) -> None:
    owner = {
        "replacement": "ganeti-hv-kvm's KVM module",
        "original": "their own KVM module",
        "none": "no KVM module",
    }[answer.module]
    python = answer.facts["python"]
    print(f"Ganeti's programs, run by {python}, get {owner}: {answer.why}.")
    if answer.facts["prefix"] != sys.prefix:
        print(
            f"Note: this command belongs to another Python, {sys.executable}: "
            "it enables and disables for programs run by that one alone."
        )


def _status(options: argparse.Namespace) -> int:
    runtime = find_runtime(options.ganeti, options.python)
    answers = {"ganeti": ask(runtime)}
    if options.python is None and answers["ganeti"].facts["prefix"] != sys.prefix:
        answers["here"] = ask(Runtime(sys.executable, runtime.ganeti_directory))
    if options.json:
        print(json.dumps({name: asdict(answer) for name, answer in answers.items()}, indent=2))
    else:
        for answer in answers.values():
            _print_answer(answer)
    statuses = {"replacement": DONE, "original": ORIGINAL, "none": FAILED}
    return statuses[answers["ganeti"].module]


def _print_answer(answer: Answer) -> None:
    facts = answer.facts
    rows = {
        "python": facts["python"],
        "KVM module": f"{answer.module} ({facts.get('module_file', 'nowhere')})",
        "because": answer.why,
        "Ganeti": f"{facts.get('ganeti_version', 'none')} ({facts.get('ganeti', 'nowhere')})",
        "ganeti-hv-kvm": facts.get("package_version", "none")
        + f" ({facts.get('package', 'not visible to this Python')})",
        "native part": facts.get("native") or facts.get("native_error", "not looked for"),
        "hook file": facts["hook_file"] or "none",
    }
    width = max(map(len, rows))
    for title, text in rows.items():
        print(f"{title + ':':<{width + 1}} {text}")
    print()
