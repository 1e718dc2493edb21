"""``ganeti-hv-kvm`` as the tests call it: of the sources, or as GANETI_HV_KVM_COMMAND says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

#: An installed one may lie in another root file system: "chroot /somewhere ganeti-hv-kvm".
COMMAND = tuple(
    shlex.split(os.environ.get("GANETI_HV_KVM_COMMAND", ""))
    or (sys.executable, "-m", "ganeti_hv_kvm")
)
IS_INSTALLED = COMMAND[0] != sys.executable
#: The Python that runs it.
PYTHON = (*COMMAND[:-1], "/usr/bin/python3") if IS_INSTALLED else (sys.executable,)
#: A word of its command line, by which its process is found.
NAME_IN_PROC = b"/usr/sbin/ganeti-hv-kvm" if IS_INSTALLED else b"ganeti_hv_kvm"
_AMPLE = 100


def call(run: Path | str, *words: str, **rest: object) -> subprocess.CompletedProcess[str]:
    """Call it for the node with this run directory, to its end."""
    return subprocess.run(
        [*COMMAND, *words, "--run-dir", str(run)],
        capture_output=True,
        text=True,
        timeout=_AMPLE,
        check=False,
        **rest,  # type: ignore[call-overload]
    )


def carry_out(
    advice: str, run: Path | None, *also: str, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """A command as it is advised, in a shell; our own for the node with this run directory."""
    if advice.startswith("ganeti-hv-kvm "):
        place = [] if run is None else ["--run-dir", str(run)]
        advice = shlex.join([*COMMAND, *shlex.split(advice)[1:], *place, *also])
    done = subprocess.run(
        ["bash", "-c", advice], capture_output=True, text=True, timeout=_AMPLE, check=False
    )
    assert done.returncode == status, f"{advice}: {done.stdout}{done.stderr}"
    return done


def advised(text: str) -> list[str]:
    """The calls of our own command that a text advises, in quotes or at its end."""
    return re.findall(r"(?:'|: )(ganeti-hv-kvm \S+ [^'\n]+)(?:'|$)", text, re.M)
