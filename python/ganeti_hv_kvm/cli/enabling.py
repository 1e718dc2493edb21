"""What `enable`, `disable` and `status` say of the Pythons on this node."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict

from ganeti_hv_kvm.cli.frame import output
from ganeti_hv_kvm.cli.interpreter import Answer

RESTART = (
    "Programs that run already keep what they have: restart the node daemon on this node "
    "(Debian: service ganeti restart). Guests keep running."
)


def values(answers: Mapping[str, Answer]) -> dict[str, object]:
    """Give the answers of interpreters as values of JSON."""
    return {name: asdict(answer) for name, answer in answers.items()}


def tell_about_ganetis_python(answer: Answer) -> None:
    """Say which module Ganeti's programs get from now on."""
    owner = {
        "replacement": "ganeti-hv-kvm's KVM module",
        "original": "their own KVM module",
        "none": "no KVM module",
    }[answer.module]
    python = answer.facts["python"]
    output.write(f"Ganeti's programs, run by {python}, get {owner}: {answer.why}.")
    if answer.facts["prefix"] != sys.prefix:
        output.write(
            f"Note: this command belongs to another Python, {sys.executable}: "
            "it enables and disables for programs run by that one alone."
        )
