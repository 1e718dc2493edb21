"""What an administrator is told to think over: of the same parameters as by the original of 3.1."""

from __future__ import annotations

import random
from typing import Any

from contract.both_modules import Answer, Request, compare

_VALUES: dict[str, list[Any]] = {
    "cpu_type": ["", "host", "qemu32", "qemu64", "kvm32", "kvm64", "Nehalem", "host,-vmx"],
    "vhost_net": [True, False],
    "migration_bandwidth": [32, 33, 0, 1000],
    "disk_type": ["paravirtual", "ide", "scsi-hd"],
    "nic_type": ["paravirtual", "e1000", "rtl8139"],
    "vnc_bind_address": ["", "127.0.0.1", "0.0.0.0", "/run/vnc", "eth0"],
    "vnc_tls": [True, False],
    "spice_bind": ["", "127.0.0.1", "0.0.0.0", "eth0"],
    "spice_use_tls": [True, False],
    "machine_version": ["", "pc", "pc-i440fx-7.2", "q35", "pc-q35-7.2", "q35-x", "none", "microvm"],
}
_SETS = 250


def _subjects(sentences: list[str]) -> list[str]:
    """The parameter that each sentence is about: the first that it names."""
    short = {"VNC": "vnc_bind_address", "Spice": "spice_bind"}
    return sorted(short.get(sentence.split()[0], sentence.split()[0]) for sentence in sentences)


def test_the_same_parameters_are_named() -> None:
    choose = random.Random(3)
    requests: list[Request] = [
        ("assessment", [{name: choose.choice(values) for name, values in _VALUES.items()}])
        for _ in range(_SETS)
    ]
    answers: list[tuple[Request, Answer, Answer]] = compare("3.1", requests)
    different = [
        (request, theirs["result"], ours["result"])
        for request, theirs, ours in answers
        if _subjects(theirs["result"]) != _subjects(ours["result"])
    ]
    assert different == []
    # and the sets reach each sentence
    named = {name for _, theirs, _ in answers for name in _subjects(theirs["result"])}
    assert named == set(_VALUES) - {"vnc_tls", "spice_use_tls"}
