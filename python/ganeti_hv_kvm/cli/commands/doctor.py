"""``ganeti-hv-kvm doctor``: what is wrong with this node, and what can safely be put right."""

from __future__ import annotations

import argparse

from ganeti_hv_kvm.cli.doctor import examination, repair
from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame import arguments, finding, output

DESCRIPTION = (
    "Looks at this node: the KVM module of Ganeti's running programs beside the one that a new one"
    " would get; files that guests left, TAP devices without a guest, two QEMUs of one instance;"
    " parameters that nobody knows, settings, room, descriptors, tools. --fix removes what nobody"
    " can need, and says each step first; what cannot be told is never touched."
)
_SECONDS = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--fix", action="store_true", help="put right what is safe, step by step")
    arguments.add_ganeti(parser)
    arguments.add_timeout(parser, _SECONDS)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run", "log", "data")


def run(options: argparse.Namespace) -> int:
    """Look, and put right."""
    with output.progress("looking at this node"):
        told = examination.examine(examination.Node.of(options))
    steps = [step for one in told for step in one.steps]
    outcomes = []
    if options.fix:
        if not options.json:
            _write(told)
            output.write()
            if not steps:
                output.write("There is nothing to put right without a person.")
        outcomes = list(repair.carry_out(steps, None if options.json else output.write))
    if options.json:
        output.write_json(
            {
                "findings": [one.finding.as_json() for one in told],
                "steps": [
                    {"step": one.text, "done": one.why_not is None, "why_not": one.why_not}
                    for one in outcomes
                ]
                if options.fix
                else [{"step": step.text, "done": False, "why_not": None} for step in steps],
            }
        )
    elif not options.fix:
        _write(told)
    left = [one for one in told if not _is_mended(one, outcomes)]
    return finding.status_of(one.finding for one in left)


def _is_mended(one: Diagnosis, outcomes: list[repair.Outcome]) -> bool:
    done = {outcome.text for outcome in outcomes if outcome.why_not is None}
    return bool(one.steps) and all(step.text in done for step in one.steps)


def _write(told: list[Diagnosis]) -> None:
    findings = [one.finding for one in told]
    output.write(f"this node: {finding.summary(findings)}")
    output.write()
    for line in finding.lines(findings):
        output.write(line)
