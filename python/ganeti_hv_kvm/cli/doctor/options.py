"""Options by tag: what is wrong with tags, and guests that have others than their tags ask for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.finding import note, trouble, unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.ganeti_child import Told
from ganeti_hv_kvm.cli.tags import are_known

_ABOUT = "options"


def diagnoses(told: Mapping[str, Told]) -> Iterator[Diagnosis]:
    """Say what is wrong with tags, and what a restart would change.

    Args:
        told: by the guest's name, as `ganeti_child.options` gives it. A node that does not have
            the cluster's configuration knows no tags, and that is nothing wrong.
    """
    for name, one in told.items():
        if "error" in one:
            if are_known(one):
                said = quoted(f"{name}: they cannot be told: {one['error']}")
                yield Diagnosis(unknown(_ABOUT, said))
            continue
        for problem in one["problems"]:
            advice = f"gnt-instance list-tags {shlex.quote(name)}"
            yield Diagnosis(trouble(_ABOUT, quoted(f"{name}: {problem}"), advice))
        for row in one["rows"]:
            if row["change"]:
                text = (
                    f"{name}: {row['name']} is {row['in_force']}, its tags say {row['wanted']}:"
                    f" {row['change']}"
                )
                yield Diagnosis(note(_ABOUT, quoted(text)))
