"""Which Python runs Ganeti, and which KVM module Ganeti gets there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict

from ganeti_hv_kvm.cli.frame.arguments import FOR_GANETI
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import children
from ganeti_hv_kvm.cli.node.children import TooMuchError
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError

_PROGRAM = "ganeti-noded"
_SEARCH_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"


class AskError(CommandError):
    """Ganeti, or the Python that runs it, could not be found or gave no answer."""


@dataclass(frozen=True)
class Runtime:
    """What runs Ganeti: an interpreter, and the directory of Ganeti's code or None."""

    python: str
    ganeti_directory: Path | None


class Facts(TypedDict, total=False):
    """What ``probe`` tells; where something failed, its error is there instead."""

    python: str
    prefix: str
    hook_file: str | None
    enabled: bool
    class_module: str
    module_file: str
    ganeti: str
    ganeti_version: str
    ganeti_error: str
    package: str
    package_version: str
    package_error: str
    native: str
    native_error: str
    failure: str
    settings_file: str
    settings_error: str
    settings_problems: list[str]
    unknown_parameters: list[str]


@dataclass(frozen=True)
class Answer:
    """What an interpreter told about itself.

    `module` is "replacement", "original" or, where Ganeti cannot be imported, "none"; `why` is
    one sentence; `facts` are versions, paths and errors, see `probe`.
    """

    module: str
    why: str
    facts: Facts


def find_runtime(ganeti_directory: Path | None = None, python: str | None = None) -> Runtime:
    """Find what runs Ganeti's programs on this machine, or those in the directory given.

    Without Ganeti's programs it is the Python that runs this command. Raises `AskError`.
    """
    program = _find_program(ganeti_directory)
    if program is None:
        return Runtime(python or sys.executable, ganeti_directory)
    if ganeti_directory is None:
        # As Python does for a script: its own directory, symbolic links resolved.
        code = program.resolve().parent
        ganeti_directory = code if (code / "ganeti").is_dir() else None
    return Runtime(python or _interpreter_of(program), ganeti_directory)


def _find_program(ganeti_directory: Path | None) -> Path | None:
    if ganeti_directory is not None:
        if not (ganeti_directory / "ganeti" / "__init__.py").is_file():
            raise AskError(f"no Ganeti in {ganeti_directory}: it has no ganeti/__init__.py")
        program = ganeti_directory / _PROGRAM
        return program if program.is_file() else None
    search_path = os.environ.get("PATH", "") + os.pathsep + _SEARCH_PATH
    found = shutil.which(_PROGRAM, path=search_path)
    return Path(found) if found else None


def _interpreter_of(program: Path) -> str:
    try:
        with program.open("rb") as stream:
            first_line = stream.readline(4096).decode("utf-8", "replace")
    except OSError as err:
        raise AskError(f"cannot read {program}: {err.strerror}") from err
    words = first_line[2:].split() if first_line.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    interpreter = shutil.which(words[0]) if words else None
    if interpreter is None or "python" not in Path(interpreter).name:
        raise AskError(f"cannot tell which Python runs {program}; name it with --python")
    return interpreter


def ask(runtime: Runtime, *, as_if_enabled: bool = False, seconds: float = FOR_GANETI) -> Answer:
    """Let the interpreter import Ganeti in a process of its own, and see what it got.

    `as_if_enabled` tells what it would get with the package enabled. Raises `AskError`.
    """
    # A daemon has none of the settings of the shell in which this command runs.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    words = ("1" if as_if_enabled else "0",)
    facts: Facts = run(runtime, "probe.py", words, environment, seconds, wanted=_are_facts)
    module = _module(facts)
    return Answer(module, _why(module, facts, as_if_enabled), facts)


def run(
    runtime: Runtime,
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    seconds: float,
    *,
    wanted: Callable[[Mapping[str, Any]], bool],
) -> Any:
    """Let the interpreter run one of this folder's files, and give the JSON object that it prints.

    The file is given as text: that interpreter may not see this package. Its first argument is the
    directory of Ganeti's code, "" for none. `wanted` knows its answer from what a site's code may
    print beside it, a log of JSON for one. Raises `AskError`.
    """
    code = resources.files(__package__).joinpath(program).read_text()
    argv = [runtime.python, "-c", code, str(runtime.ganeti_directory or ""), *words]
    try:
        done = children.listen(argv, seconds, environment=environment, directory="/")
    except OSError as err:
        raise AskError(f"cannot run {runtime.python}: {err.strerror}") from err
    except OutOfPatienceError as err:
        raise AskError(f"{runtime.python} gave {err}") from err
    except TooMuchError as err:
        raise AskError(str(err)) from err
    if done.status < 0:
        raise AskError(f"{runtime.python} died of signal {-done.status} while importing Ganeti")
    objects = filter(None, map(_object, reversed(done.stdout.splitlines())))
    told = next((one for one in objects if wanted(one)), None)
    if told is None:
        last_words = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise AskError(f"{runtime.python} gave no answer, it said: {last_words[0]}")
    return told


def _are_facts(told: Mapping[str, Any]) -> bool:
    return {"python", "prefix", "enabled", "hook_file"} <= told.keys()


def _object(line: str) -> dict[str, Any] | None:
    """Read a line of stdout; what a site's code may print when the program ends is none."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _module(facts: Facts) -> str:
    if "class_module" not in facts:
        return "none"
    ours = facts["class_module"].partition(".")[0] == "ganeti_hv_kvm"
    return "replacement" if ours else "original"


def _why(module: str, facts: Facts, as_if_enabled: bool) -> str:
    hook, enabled = facts["hook_file"], facts["enabled"]
    invisible = f"this Python cannot import ganeti-hv-kvm: {facts.get('package_error')}"
    broken = f"the native part of ganeti-hv-kvm fails: {facts.get('native_error')}"
    reasons = (
        (module == "none", f"Ganeti cannot be imported: {facts.get('ganeti_error')}"),
        (module == "replacement" and enabled, f"enabled by {hook}"),
        (module == "replacement", "not enabled, but it would work"),
        ("failure" in facts, f"ganeti-hv-kvm stood aside: {facts.get('failure')}"),
        ("package_error" in facts and (enabled or as_if_enabled), invisible),
        ("package_error" in facts, f"not enabled; {invisible}"),
        (hook and not enabled, f"this Python did not read {hook}"),
        ("native_error" in facts and not enabled, f"not enabled; {broken}"),
        (not enabled, "not enabled"),
        (True, "ganeti-hv-kvm stood aside: what is enabled is another installation of it"),
    )
    return next(text for applies, text in reasons if applies)
