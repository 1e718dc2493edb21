"""One fault in one operation: was that right, by what is really there?"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from . import truth
from .operations import NAME, Bench, Operation
from .tracee import Call, Fault, Outcome
from .truth import Truth

DONE = "done"
NOT_DONE = "error, nothing changed"
NAMED = "error that names what is left"
FOLLOWED = "done, and an error"
DOWN = "down, as the error says"
MISSED = "not reached"
WRONG = "WRONG"

_SETTLED = 3.0
_IS_DOWN = "it is down now"
_HAS_LEFT = "it has left this node already"


@dataclass(frozen=True)
class Verdict:
    """What a fault led to; ``why`` is for a person."""

    outcome: str
    why: str = ""


@dataclass
class Expected:
    """From the undisturbed run: before, afterwards, and what was given or raised.

    ``down`` is a node without the guest: a reboot that failed half way may end there.
    """

    before: Truth
    after: Truth
    outcome: Outcome
    down: Truth | None = None

    def clean(self, text: str) -> list[Truth]:
        """The states in which nothing is left to be named, by the words of an error."""
        states = [self.before, self.after]
        return [*states, self.down] if self.down and _IS_DOWN in text else states


def _differences(first: Truth, second: Truth) -> list[str]:
    return sorted(set(first.things) ^ set(second.things))


class Case:
    """One operation on one bench."""

    def __init__(self, bench: Bench, operation: Operation) -> None:
        self.bench, self.operation = bench, operation
        self.known: dict[str, int] = {}
        self._ready = False

    @property
    def node(self):  # type: ignore[no-untyped-def]
        return self.bench.nodes[self.operation.node]

    def _look(self) -> Truth:
        return truth.look(self.bench.nodes, self.known)

    def _prepare(self) -> Truth:
        if not self._ready:
            self.operation.begin(self.bench)
        self.known = {}
        self.known = self._look().pids
        return self._look()

    def _ask(self, fault: Fault | None = None, record: bool = False) -> Outcome:
        arguments = self.operation.arguments(self.bench)
        return self.node.run(self.operation.method, *arguments, fault=fault, record=record)

    def record(self) -> Expected:
        """Runs it undisturbed."""
        down = None
        if self.operation.method == "RebootInstance":
            self.bench.empty()
            down = self._look()
        before = self._prepare()
        outcome = self._ask(record=True)
        after = self._settle(None)
        self._make_ready(before, after, outcome)
        wrong = "" if outcome.failed == self.operation.refused else f"{outcome.text}"
        if wrong or outcome.died or outcome.leaked:
            raise RuntimeError(f"undisturbed: {wrong} {outcome.died} {outcome.leaked}")
        return Expected(before, after, outcome, down)

    def _settle(self, wanted: Truth | None, *, wait: bool = False) -> Truth:
        """What there is when all that goes on has come to its end.

        QEMU frees a device some time after it has said that it is gone, hence ``wait``.
        """
        if not (self.operation.slow or wait):
            return self._look()
        if wanted is None:
            last = self._look()
            for _ in range(20):
                truth.wait(lambda: False, 0.1)
                last = self._look()
            return last
        now = self._look()

        def is_there() -> bool:
            nonlocal now
            now = self._look()
            return not _differences(now, wanted)

        truth.wait(is_there, _SETTLED)
        return now

    def _make_ready(self, before: Truth, now: Truth, outcome: Outcome) -> None:
        """Whether the next run can begin from what is there."""
        self._ready = False
        if outcome.died:
            return
        if not _differences(before, now):
            self._ready = True
        elif self.operation.revert:
            with contextlib.suppress(RuntimeError):
                self.operation.revert(self.bench)
                self._ready = not _differences(before, self._look())

    def run(self, fault: Fault, expected: Expected) -> tuple[Verdict, Outcome]:
        """Tries one fault."""
        before = self._prepare()
        if changed := _differences(before, expected.before):
            self._ready = False
            before = self._prepare()
            if changed := _differences(before, expected.before):
                raise RuntimeError(f"the state before is another one: {changed}")
        witness = truth.Witness(self.bench.witness) if self.operation.asks else None
        outcome = self._ask(fault)
        now = self._settle(expected.after, wait=not outcome.failed)
        problem = self._problem(outcome, now, expected, fault)
        if not problem and witness:
            problem = self._ended_unasked(witness, before, now)
        verdict = Verdict(WRONG, problem) if problem else self._verdict(outcome, now, expected)
        if outcome.failed and not self.operation.refused and not problem:
            if again := self._again(expected):
                verdict = Verdict(WRONG, again)
            now = self._look()
        self._make_ready(before, now, outcome)
        if verdict.outcome == WRONG:
            self._ready = False
        if _cannot_be(fault, outcome.hit) or (outcome.hit is None and verdict.outcome != WRONG):
            verdict = Verdict(MISSED)
        return verdict, outcome

    def _verdict(self, outcome: Outcome, now: Truth, expected: Expected) -> Verdict:
        if not outcome.failed:
            return Verdict(DONE)
        if not _differences(now, expected.before):
            return Verdict(NOT_DONE)
        if not _differences(now, expected.after):
            return Verdict(FOLLOWED, outcome.text)
        if expected.down and not _differences(now, expected.down):
            return Verdict(DOWN)
        return Verdict(NAMED, outcome.text)

    def _problem(self, outcome: Outcome, now: Truth, expected: Expected, fault: Fault) -> str:
        """What is wrong with what a fault led to; "" if nothing is."""
        if outcome.died:
            return f"the process: {outcome.died}"
        said = f"{outcome.kinds[:1]} {outcome.text!r}"
        if outcome.failed and "HypervisorError" not in outcome.kinds:
            return f"an error of another family: {said}"
        # Ganeti's RunCmd and Python's subprocess, half way, leave their pipes; we make none.
        if leaked := [name for name in outcome.leaked if not name.startswith("pipe:")]:
            return f"left open: {leaked}; {said}"
        if unlisted := self._unlisted():
            return f"{unlisted}; {said}"
        if fault.error == "EINTR" and outcome.failed and not self.operation.refused:
            return f"an interrupt is no failure: {said}"
        if not outcome.failed:
            return self._wrong_success(outcome, now, expected)
        unnamed = min(
            (
                _unnamed(outcome.text, now, clean, expected)
                for clean in expected.clean(outcome.text)
            ),
            key=len,
        )
        return f"changed and not named: {unnamed}; {said}" if unnamed else ""

    def _wrong_success(self, outcome: Outcome, now: Truth, expected: Expected) -> str:
        if self.operation.refused:
            return "it was not refused"
        if self.operation.reads and _told(outcome) != _told(expected.outcome):
            return f"it tells {_told(outcome)[:500]}, and not {_told(expected.outcome)[:500]}"
        if different := _differences(now, expected.after):
            return f"no error, but not as it should be: {different}"
        return ""

    def _unlisted(self) -> str:
        for label, node in self.bench.nodes.items():
            running = {
                qemu.name
                for qemu in truth.qemus().values()
                if qemu.pidfile.startswith(str(node.root))
            }
            if running - set(node.call("ListInstances")):
                return f"a QEMU that runs {label} is in no list"
        return ""

    def _ended_unasked(self, witness: truth.Witness, before: Truth, now: Truth) -> str:
        if set(now.pids.values()) == set(before.pids.values()):
            return ""
        names = [event["event"] for event in witness.events()]
        return "" if "POWERDOWN" in names else f"ended without being asked: {names}"

    def _again(self, expected: Expected) -> str:
        """After an error: the same request once more, without a fault, gets there."""
        operation, bench = self.operation, self.bench
        if operation.method == "RebootInstance" and not truth.qemus():
            bench.here.call("StartInstance", bench.guest)
            truth.wait_ready(bench.here, NAME)
        outcome = self._ask()
        # QEMU's reply was lost, and not the command: the guest went all the same
        went = operation.method == "MigrateInstance" and _HAS_LEFT in outcome.text
        if (outcome.failed and not went) or outcome.died:
            return f"and the next attempt: {outcome.kinds[:1]} {outcome.text!r}{outcome.died}"
        if different := _differences(self._settle(expected.after, wait=True), expected.after):
            return f"and after the next attempt: {different}"
        return ""


def _cannot_be(fault: Fault, hit: Call | None) -> bool:
    """Whether the call that was hit, which may be another one than was meant, never fails so.

    No pipe gives EIO; Python's subprocess would lose a child to it that is on its way to QEMU.
    """
    return fault.error == "EIO" and hit is not None and "<pipe:" in hit.arguments.split(",")[0]


def _told(outcome: Outcome) -> str:
    """What a listing gives, without the numbers of processes."""
    value = outcome.value
    if isinstance(value, str) and value.startswith("[["):
        # what was not asked of QEMU may be missing: run state and source
        value = json.loads(value)[:4]
    elif isinstance(value, list) and value and isinstance(value[0], str) and len(value) == 6:
        value = [value[0], *value[2:]]
    elif isinstance(value, list) and value and isinstance(value[0], list):
        value = [[one[0], *one[2:]] for one in value]
    return repr(value)


def _unnamed(text: str, now: Truth, clean: Truth, expected: Expected) -> list[str]:
    """What differs from a clean state and is not in the error's words."""
    left = _differences(now, clean)
    return [thing for thing in left if not _names(text, thing, now, expected)]


def _names(text: str, thing: str, now: Truth, expected: Expected) -> bool:
    words = (
        now.things.get(thing)
        or expected.before.things.get(thing)
        or expected.after.things.get(thing)
        or ()
    )
    return not words or any(word in text for word in words)
