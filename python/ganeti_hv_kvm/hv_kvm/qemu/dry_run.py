"""Would this QEMU take a command line? Found out without starting a guest.

A guest may have been started by a QEMU that the node's package manager has replaced since: machine
types, CPU models, devices and switches go with each major version.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence

from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti import child_status

from .facts import QemuFacts

_MACHINE = ("-machine", "-M")

#: Seconds that QEMU gets to end, where the wait for its answer broke off.
_ENDING = 10.0

# The end of the name of a CPU model's class, which QEMU takes for the model.
_CPU_CLASS = re.compile(r"-\w+-cpu$")


def check(command: Sequence[str], facts: QemuFacts) -> None:
    """Find out what this QEMU would refuse, as far as it tells without a guest.

    Args:
        command: all arguments, QEMU's path first.
        facts: what the same QEMU can do.

    Raises:
        errors.HypervisorError: what QEMU does not have, or its own words.
    """
    lacks = [*_machines(command, facts), *_devices(command, facts), *_cpus(command, facts)]
    if lacks:
        raise errors.HypervisorError(f"{facts.path} has no {', no '.join(lacks)}")
    # It reads the arguments in their order, and ends at this one before it does anything.
    result = _run([*command, "-version"])
    if result.failed:
        raise errors.HypervisorError(
            f"{facts.path} refuses the guest's command line: {result.output.strip()}"
        )


def _run(command: Sequence[str]) -> utils.RunResult:
    started: list[int] = []
    try:
        return utils.RunCmd(list(command), postfork_fn=started.append)
    except (OSError, errors.OpExecError) as err:
        # no second QEMU of the guest's name is to be around when this returns
        for pid in started:
            child_status.wait_for_end(pid, _ENDING)
        raise errors.HypervisorError(
            f"{command[0]} could not be asked whether it takes the guest's command line: {err}"
        ) from err


def _values(command: Sequence[str], *switches: str) -> Iterator[str]:
    return (value for switch, value in itertools.pairwise(command) if switch in switches)


def _first(value: str, key: str) -> str:
    """The first property of a value, which may leave out its key, or ""."""
    for number, word in enumerate(value.split(",")):
        name, equals, rest = word.partition("=")
        if name == key and equals:
            return rest
        if number == 0 and not equals:
            return word
    return ""


def _machines(command: Sequence[str], facts: QemuFacts) -> Iterator[str]:
    for value in _values(command, *_MACHINE):
        name = _first(value, "type")
        if name and not re.search(rf"^{re.escape(name)}\s", facts.machines, re.MULTILINE):
            yield f"machine type {name}"


def _devices(command: Sequence[str], facts: QemuFacts) -> Iterator[str]:
    for value in dict.fromkeys(_values(command, "-device")):
        driver = str(json.loads(value)["driver"]) if value[:1] == "{" else _first(value, "driver")
        known = rf'^name "{re.escape(driver)}"|, alias "{re.escape(driver)}"'
        if not re.search(known, facts.devices, re.MULTILINE):
            yield f"device {driver}"


def _cpus(command: Sequence[str], facts: QemuFacts) -> Iterator[str]:
    models = [_CPU_CLASS.sub("", value.split(",")[0]) for value in _values(command, "-cpu")]
    if not models:
        return
    result = _run([facts.path, "-cpu", "help"])
    if result.failed:
        raise errors.HypervisorError(f"{facts.path} -cpu help failed: {result.output}")
    known = set(result.output.split())
    yield from (f"CPU model {model}" for model in models if model not in known)
