"""The guests of this node, by the files that Ganeti and QEMU leave. Nothing is waited for.

Names and places are Ganeti's, as in `hv_kvm.guest.files`, which can be imported with Ganeti alone.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.frame.suggest import did_you_mean

_QMP, _RUNTIME = ".qmp", ".runtime"


class LocalGuest(NamedTuple):
    """A guest with its paths; none of them need exist."""

    name: str
    run_directory: Path

    @property
    def pidfile(self) -> Path:
        """QEMU writes its process id here, and holds a lock on it."""
        return self.run_directory / "pid" / self.name

    @property
    def qmp(self) -> Path:
        """Socket of the monitor that Ganeti uses."""
        return self.run_directory / "ctrl" / f"{self.name}{_QMP}"

    @property
    def kvmd(self) -> Path:
        """Socket of the second monitor, which ganeti-kvmd listens on."""
        return self.run_directory / "ctrl" / f"{self.name}.kvmd"

    @property
    def runtime(self) -> Path:
        """What the guest was started with."""
        return self.run_directory / "conf" / f"{self.name}{_RUNTIME}"

    @property
    def nics(self) -> Path:
        """Directory with a file for each NIC, which names its TAP device."""
        return self.run_directory / "nic" / self.name

    @property
    def shutdown(self) -> Path:
        """Written by ganeti-kvmd when the guest itself shut down."""
        return self.run_directory / "ctrl" / f"{self.name}.shutdown"


def is_there(path: Path) -> bool:
    """Tell whether a guest has this file; a name that is too long for one is no error of others."""
    return os.path.exists(path)


def find_all(run_directory: Path) -> list[LocalGuest]:
    """Give every guest that has a pid file, a monitor's socket or a runtime file here.

    Raises:
        CommandError: a directory cannot be read, so that nobody can tell.
    """
    try:
        is_directory = run_directory.is_dir()
    except OSError as err:
        raise _unreadable(run_directory, str(err.strerror)) from err
    if not is_directory:
        raise _unreadable(run_directory, "there is no such directory")
    names = {
        *_names_in(run_directory / "pid", ""),
        *_names_in(run_directory / "ctrl", _QMP),
        *_names_in(run_directory / "conf", _RUNTIME),
    }
    return [LocalGuest(name, run_directory) for name in sorted(names)]


def _names_in(directory: Path, suffix: str) -> list[str]:
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:
        return []  # Ganeti makes it with the first guest after a reboot
    except OSError as err:
        raise _unreadable(directory, str(err.strerror)) from err
    names = [entry.removesuffix(suffix) for entry in entries if entry.endswith(suffix)]
    return [name for name in names if name]


def _unreadable(directory: Path, why: str) -> CommandError:
    return CommandError(
        f"it cannot be told which guests are here: {directory} cannot be read: {why};"
        " is this a node with KVM guests, and are you root?",
        directory=str(directory),
    )


def choose(
    guests: Sequence[LocalGuest], words: Iterable[str]
) -> tuple[list[LocalGuest], list[str]]:
    """Give the guests that names or shell patterns mean, and what is wrong with the others.

    As with ``gnt-instance``, a name may be without its domain. No word at all means every guest.
    What is wrong is a sentence each.
    """
    wanted = list(dict.fromkeys(words))
    if not wanted:
        return list(guests), []
    chosen: dict[str, LocalGuest] = {}
    wrong = []
    known = [guest.name for guest in guests]
    for word in wanted:
        matches = [guest for guest in guests if means(word, guest.name)]
        if not matches:
            wrong.append(f"no guest '{quoted(word)}' on this node{hint(word, known)}")
        chosen.update((guest.name, guest) for guest in matches)
    return [guest for guest in guests if guest.name in chosen], wrong


def means(word: str, name: str) -> bool:
    """Tell whether a word is the guest's name, the name without its domain, or a pattern of it."""
    return name == word or name.startswith(f"{word}.") or fnmatch.fnmatchcase(name, word)


def hint(word: str, known: Sequence[str]) -> str:
    """Say which of the known guests may be meant, without their domains as the word is."""
    # a short word is like no name that is long by its domain
    return did_you_mean(word, known if "." in word else [one.partition(".")[0] for one in known])


def find(run_directory: Path, name: str) -> LocalGuest:
    """Give one guest, by its name with or without the domain.

    Raises:
        CommandError: it is not here, or there are several; the text has names like it.
    """
    guests = find_all(run_directory)
    meant = [one for one in guests if one.name == name]
    meant = meant or [one for one in guests if one.name.startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = ", ".join(quoted(one.name) for one in meant)
        raise CommandError(f"'{quoted(name)}' may be each of {names}: write it out", name=name)
    meaning = hint(name, [guest.name for guest in guests])
    raise CommandError(f"no guest '{quoted(name)}' on this node{meaning}", name=name)
