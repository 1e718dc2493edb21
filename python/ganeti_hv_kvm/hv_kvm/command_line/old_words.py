"""Stored words that a newer QEMU has no more, in its own words.

A guest may be older than the QEMU that is to run it next. QEMU 9 knows no ``-no-acpi``: a guest
that had it could neither migrate to such a node nor start again after a soft reboot there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

_MACHINE = ("-machine", "-M")

#: Switch -> the property of -machine that took its place.
_IN_MACHINE = {"-no-acpi": "acpi=off", "-no-hpet": "hpet=off"}
#: Switch with a value -> the property of -run-with that took its place.
_IN_RUN_WITH = {"-chroot": "chroot", "-runas": "user"}
#: Switch without a value -> the same.
_ON_IN_RUN_WITH = {"-async-teardown": "async-teardown"}
_SOUND, _WATCHDOG = "-soundhw", "-watchdog"
#: How QEMU's own window is turned, which no guest of Ganeti's has -> whether it has a value.
_OF_A_WINDOW = {"-portrait": False, "-rotate": True}


def translate(command: Sequence[str], facts: QemuFacts) -> list[str]:
    """Give a stored command in words that this QEMU knows; what it knows stays as it is."""
    words: list[str] = []
    machine: list[str] = []
    value_of = ""
    for word in command:
        if value_of:
            words += _with_value(value_of, word, command)
            value_of = ""
        elif not _may_be_lost(word) or facts.has_switch(word):
            words.append(word)
        elif word in _IN_MACHINE:
            machine.append(_IN_MACHINE[word])
        elif word in _OF_A_WINDOW:
            value_of = word if _OF_A_WINDOW[word] else ""
        elif word in _ON_IN_RUN_WITH and facts.runs_with(_ON_IN_RUN_WITH[word]):
            words += ["-run-with", f"{_ON_IN_RUN_WITH[word]}=on"]
        elif word in (_SOUND, _WATCHDOG) or (
            word in _IN_RUN_WITH and facts.runs_with(_IN_RUN_WITH[word])
        ):
            value_of = word
        else:
            words.append(word)  # QEMU will say why not
    return _in_machine(words, machine)


def _may_be_lost(word: str) -> bool:
    tables = (_IN_MACHINE, _IN_RUN_WITH, _ON_IN_RUN_WITH, _OF_A_WINDOW)
    return word in (_SOUND, _WATCHDOG) or any(word in table for table in tables)


def _with_value(switch: str, value: str, command: Sequence[str]) -> list[str]:
    escaped = value.replace(",", ",,")
    if switch in _OF_A_WINDOW:
        return []
    if switch == _WATCHDOG:
        return ["-device", value]
    if switch == _SOUND:
        output = "spice" if "-spice" in command else "none"
        return ["-audio", f"driver={output},model={escaped},id=soundhw"]
    return ["-run-with", f"{_IN_RUN_WITH[switch]}={escaped}"]


def _in_machine(words: list[str], added: list[str]) -> list[str]:
    if not added:
        return words
    for place in range(len(words) - 1):
        if words[place] in _MACHINE:
            kind, comma, rest = words[place + 1].partition(",")
            words[place + 1] = ",".join([kind, *added]) + comma + rest
            return words
    return [*words, _MACHINE[0], ",".join(added)]
