"""The one file that enables this package for a Python: a `.pth` in its site directory."""

from __future__ import annotations

import os
import site
import tempfile
from importlib import metadata
from pathlib import Path

from ganeti_hv_kvm import installation
from ganeti_hv_kvm.cli.frame.failure import CommandError

DISTRIBUTION = "ganeti-hv-kvm"
FILE_NAME = "ganeti-hv-kvm.pth"
_UNFINISHED_PREFIX = ".ganeti-hv-kvm-"

# Python runs the lines at every start, so they import nothing: the first only puts a trigger in
# front of the import system. The trigger stays silent where the package was uninstalled without
# `disable`, and stands aside where it was then installed again: it names its installation.
# It answers itself: from 3.14 on, an import goes through a copy of the list, and would miss the
# finder that was put into it meanwhile.
# The second lets an upgrade stay enabled: the pip that begins with the enabled installation, and
# ends with another one in its place, has replaced it. A process of its own looks: pip forbids
# imports after it has installed something.
_TEXT = """\
# Written by "ganeti-hv-kvm enable", removed by "ganeti-hv-kvm disable".
import sys; sys.meta_path.insert(0, type(sys.implementation)(\
ganeti_hv_kvm=True, \
find_spec=lambda name, path=None, target=None: \
None if name != "ganeti.hypervisor.hv_kvm" else \
(lambda place: exec("try:\\n from ganeti_hv_kvm.activation import install\\n\
 spec = install({installation}, {directory!r}).find_spec(*asked)\\n\
except Exception:\\n spec = None", place) \
or place["spec"])({{"asked": (name, path, target)}})))
"""
_CARRY_OVER = """\
import sys, os; "pip" in str(sys.orig_argv[1:4]) and os.path.exists({record!r}) \
and os.stat({record!r}).st_mtime_ns == {installation} and __import__("atexit").register(\
os.spawnv, os.P_WAIT, sys.executable, [sys.executable, "-c", \
"try:\\n from ganeti_hv_kvm.cli.site_hook import carry_over\\n carry_over({installation})\\n\
except Exception:\\n pass"])
"""


class HookError(CommandError):
    """The hook file could not be written or removed; what was there before still is."""


def site_directories() -> list[Path]:
    """Give the directories in which this interpreter reads `.pth` files at its start."""
    directories = [Path(name) for name in site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        directories.append(Path(site.getusersitepackages()))
    return directories


def home_directory() -> Path:
    """Give the site directory in which this package is installed.

    Raises `HookError` where it is in none: Python would not read the file there.
    """
    try:
        place = Path(str(metadata.distribution(DISTRIBUTION).locate_file("")))
    except metadata.PackageNotFoundError as err:
        raise HookError(
            f"{DISTRIBUTION} is not installed for this Python; install its wheel first"
        ) from err
    for directory in site_directories():
        if directory.exists() and directory.samefile(place):
            return directory
    raise HookError(
        f"{DISTRIBUTION} is installed in {place}, where this Python reads no .pth files; "
        "install it in a site directory or a virtual environment"
    )


def write() -> tuple[Path, bool]:
    """Put the hook file in place, whole or not at all: (its path, whether that changed it).

    Raises `HookError`.
    """
    directory = home_directory()
    path = directory / FILE_NAME
    try:
        text = _text_for(str(directory))
        if _has(path, text):
            return path, False
        _replace(path, text)
    except OSError as err:
        raise HookError(f"cannot write {path}: {err.strerror}") from err
    return path, True


def _has(path: Path, text: str) -> bool:
    wanted = text.encode()
    try:
        # whatever else is in its place, a pipe or a device, is neither waited for nor read whole
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    with open(descriptor, "rb") as stream:
        return stream.read(len(wanted) + 1) == wanted


def _text_for(directory: str) -> str:
    record = installation.newest_record(directory)
    # In Python's text within Python's text, a backslash or quote would need care.
    if not directory.isprintable() or set(directory) & set("\\'\""):
        raise HookError(f"{directory!r} is no directory name to write into a hook file")
    text = _TEXT.format(installation=installation.identity(directory), directory=directory)
    if record:
        text += _CARRY_OVER.format(installation=installation.identity(directory), record=record)
    return text


def carry_over(enabled: int) -> None:
    """At the end of a pip that began with this installation: enable what it has put in its place.

    Raises `HookError`.
    """
    directory = home_directory()
    if installation.identity(str(directory)) != enabled and (directory / FILE_NAME).exists():
        write()


def _replace(path: Path, text: str) -> None:
    # Python may start at any moment: it must find no file, or all of it.
    fd, unfinished = tempfile.mkstemp(prefix=_UNFINISHED_PREFIX, dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def remove() -> list[Path]:
    """Remove every hook file that this interpreter reads, and give their paths.

    Raises `HookError`.
    """
    removed = []
    for directory in site_directories():
        for path in (directory / FILE_NAME, *directory.glob(_UNFINISHED_PREFIX + "*")):
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as err:
                raise HookError(f"cannot remove {path}: {err.strerror}") from err
            removed.append(path)
    return removed
