"""Settings in force for the node daemon, and where each is from."""

from __future__ import annotations

from collections.abc import Iterator

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.finding import note, trouble, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.ganeti_child import Settings


def diagnoses(told: Settings, whose: str) -> Iterator[Diagnosis]:
    """Say which differ from their defaults, and what is wrong with them.

    Args:
        told: as `ganeti_child.settings` gives them.
        whose: of which program's environment they are.
    """
    changed = [one for one in told["settings"] if one["from"] != "default"]
    for one in changed:
        yield Diagnosis(
            note(
                "settings",
                f"{one['name']} is {quoted(str(one['value']))}{one['unit'] and ' ' + one['unit']}"
                f" ({whose}), by {quoted(str(one['from']))}",
            )
        )
    for problem in told["problems"]:
        yield Diagnosis(
            trouble(
                "settings",
                f"{quoted(str(problem))}; the default holds where guests are only looked at, and"
                " what changes a guest may be refused",
                "ganeti-hv-kvm status",
            )
        )
    if not changed and not told["problems"]:
        yield Diagnosis(well("settings", f"the defaults hold ({whose})"))
