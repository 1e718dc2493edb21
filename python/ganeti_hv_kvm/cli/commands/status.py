"""``ganeti-hv-kvm status``: which KVM module Ganeti gets on this node, and why."""

from __future__ import annotations

import argparse
import sys

from ganeti_hv_kvm.cli import enabling
from ganeti_hv_kvm.cli.doctor import daemons
from ganeti_hv_kvm.cli.frame import arguments, exit_status, finding, output
from ganeti_hv_kvm.cli.frame.finding import Finding
from ganeti_hv_kvm.cli.interpreter import Answer, Runtime, ask, find_runtime
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within

DESCRIPTION = (
    "Exit status: 0 ganeti-hv-kvm's, 1 Ganeti's own, 3 it cannot be told, 4 ganeti-hv-kvm's, and"
    " one of its settings is wrong: its default holds."
)

_STATUSES = {
    "replacement": exit_status.WELL,
    "original": exit_status.WRONG,
    "none": exit_status.FAILED,
}

_FOR_THE_KERNEL = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_ganeti(parser)
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="the Python to ask (default: the one that runs ganeti-noded)",
    )
    arguments.add_timeout_of_ganeti(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Say it."""
    runtime = find_runtime(options.ganeti, options.python)
    answers = {"ganeti": ask(runtime, seconds=options.timeout)}
    if options.python is None and answers["ganeti"].facts["prefix"] != sys.prefix:
        answers["here"] = ask(
            Runtime(sys.executable, runtime.ganeti_directory), seconds=options.timeout
        )
    answer = answers["ganeti"]
    running = [] if options.python else _of_running(answer)
    if options.json:
        told = [one.as_json() for one in running]
        output.write_json({**enabling.values(answers), "running": told})
    else:
        for one in answers.values():
            _write(one)
        for line in finding.lines(running):
            output.write(line)
    if answer.module == "replacement" and answer.facts.get("settings_problems"):
        return exit_status.WRONG_SETTING
    return _STATUSES[answer.module]


def _of_running(answer: Answer) -> list[Finding]:
    """What the programs of Ganeti's have that run already, beside what a new one gets."""
    log = arguments.default_directory("log").parent / arguments.NODE_DAEMON_LOG
    try:
        return daemons.of_running(within(_FOR_THE_KERNEL, daemons.running), answer, log)
    except (OSError, OutOfPatienceError) as err:
        return [finding.unknown("module", f"which programs run: {output.quoted(str(err))}")]


def _write(answer: Answer) -> None:
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
        "settings file": facts.get("settings_error") or facts.get("settings_file") or "none",
    }
    width = max(map(len, rows))
    for title, text in rows.items():
        output.write(f"{title + ':':<{width + 1}} {text}")
    if unknown := facts.get("unknown_parameters"):
        output.write(f"{'parameters:':<{width + 1}} {unknown}")
    for problem in facts.get("settings_problems", ()):
        output.write(f"{'wrong setting:':<{width + 1}} {problem}; the default holds")
    output.write()
