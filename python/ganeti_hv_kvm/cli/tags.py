"""The options of guests by their instances' tags, in short and whether they can be told."""

from __future__ import annotations

from ganeti_hv_kvm.cli.ganeti_child import Told


def are_known(told: Told) -> bool:
    """Whether this node has the cluster's configuration, in which the tags are."""
    return not told.get("no_configuration")


def _short(value: str) -> str:
    return "none" if value == "-" else value


def in_short(told: Told) -> list[str]:
    """Give a guest's options in short: ``rng=on``; ``disk-iops=500->300``, with what is to come."""
    if "error" in told:
        return [f"? ({told['error']})"]
    rows = [
        f"{row['name']}={_short(row['in_force'])}"
        + (f"->{_short(row['wanted'])}" if row["change"] else "")
        for row in told["rows"]
    ]
    return rows + [f"wrong: {problem}" for problem in told["problems"]]
