"""What `doctor` makes of what guests have by their tags."""

from __future__ import annotations

from ganeti_hv_kvm.cli import tags
from ganeti_hv_kvm.cli.doctor import options
from ganeti_hv_kvm.cli.frame.finding import Level


def row(name: str, wanted: str, in_force: str, change: str = "") -> dict[str, str]:
    return {"name": name, "wanted": wanted, "in_force": in_force, "change": change}


TOLD = {
    "a": {"rows": [row("rng", "on", "on"), row("mtu", "1400", "-", "later")], "problems": []},
    "b": {"rows": [], "problems": ["tag 'hv-kvm:x': no\nsuch option"]},
    "c": {"error": "this node has none", "no_configuration": True},
    "d": {"error": "QEMU is silent"},
}


def test_findings() -> None:
    found = [one.finding for one in options.diagnoses(TOLD)]
    assert [(one.level, one.text) for one in found] == [
        (Level.NOTE, "a: mtu is -, its tags say 1400: later"),
        (Level.TROUBLE, "b: tag 'hv-kvm:x': no\\nsuch option"),
        (Level.UNKNOWN, "d: they cannot be told: QEMU is silent"),
    ]
    assert found[1].advice == ("gnt-instance list-tags b",)


def test_in_short() -> None:
    assert tags.in_short(TOLD["a"]) == ["rng=on", "mtu=none->1400"]
    assert tags.in_short(TOLD["b"])[0].startswith("wrong: tag 'hv-kvm:x'")
    assert tags.in_short(TOLD["d"]) == ["? (QEMU is silent)"]
