"""Are the files of this package whole, and of one installation? Asked before they are run.

A disk that was full during an upgrade leaves a native part that is cut short. Once mapped, it ends
each of Ganeti's programs by SIGBUS, which no `except` catches; so it is looked at before.
"""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES

#: Of these Python files; the native part must be of the same.
VERSION = "0.1.0"

_PACKAGE = os.path.dirname(__file__)
_NAME = os.path.basename(_PACKAGE)
#: The list of files that pip keeps; and the same in Debian's package, which pip leaves alone then.
_PIPS, _DEBIANS = "RECORD", "RECORD.debian"
_ELF_64_BITS = 2
_ELF_LOAD = (1).to_bytes(4, "little")  # a program header for what is mapped
_ELF_HEADER_LENGTH = 64
# Class, byte order, machine.
_ELF_KIND = (slice(4, 6), slice(18, 20))


class DamagedError(ImportError):
    """Files of this package are missing, cut short, or of another installation."""


class StaleHookError(ImportError):
    """The package was installed anew since `ganeti-hv-kvm enable`."""


def identity(site_directory: str) -> int:
    """Give a number that another installation into this directory would not have.

    It is 0 where pip keeps no record of it: Debian's package is enabled as long as it is there.
    """
    path = newest_record(site_directory)
    return os.stat(path).st_mtime_ns if path else 0


def newest_record(site_directory: str) -> str | None:
    """Give the path of the installer's list of this package's files, if it keeps one."""
    return max(
        _records(site_directory, _PIPS), key=lambda path: os.stat(path).st_mtime_ns, default=None
    )


def is_in(site_directory: str) -> bool:
    """Tell whether this package, the one that was imported, lies in this directory."""
    return os.path.realpath(site_directory) == os.path.realpath(os.path.dirname(_PACKAGE))


def expect(installation: int) -> None:
    """See that the package is still the installation with this `identity`; 0 is any.

    Raises `StaleHookError`: installing alone must not enable, not even where an earlier
    installation was removed without `disable` and its hook is still there.
    """
    now = identity(os.path.dirname(_PACKAGE))
    if installation and now and now != installation:
        raise StaleHookError(
            "it was installed anew since it was enabled; to use this installation, run "
            "`ganeti-hv-kvm enable` and restart Ganeti, else run `ganeti-hv-kvm disable`"
        )


def check() -> None:
    """See that the native part and the Python files are those that were installed.

    It takes about 2 ms: the native part is read once and compared with the installer's record, of
    the Python files only their sizes. Raises `DamagedError`, or OSError for what cannot be read.
    """
    library, content = _library(), b""
    if library is not None:
        with open(library, "rb") as stream:
            content = stream.read()
        _check_library(library, content)
    _check_record(library, content)


def check_versions(native: str) -> None:
    """See that the native part, which says that it has this version, fits the Python files.

    Raises `DamagedError`.
    """
    if native != VERSION:
        raise DamagedError(
            f"the native part is of version {native!r}, the Python files are of {VERSION}; "
            + _REPAIR
        )


_REPAIR = (
    "install it again: a wheel with `pip install --force-reinstall`, "
    "the Debian package with `apt install --reinstall ./ganeti-hv-kvm_*.deb`"
)


def _library() -> str | None:
    """The file that the import system would take."""
    paths = (os.path.join(_PACKAGE, "_native" + suffix) for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if os.path.lexists(path)), None)


def _check_library(library: str, content: bytes) -> None:
    """Where there is no record, at least this: the file is for this machine, and not cut short."""
    if content[:4] != b"\x7fELF" or len(content) < _ELF_HEADER_LENGTH:
        raise DamagedError(f"{library}: invalid ELF header; {_REPAIR}")
    try:
        with open("/proc/self/exe", "rb") as stream:
            ours = stream.read(_ELF_HEADER_LENGTH)
    except OSError:
        ours = content
    if any(content[part] != ours[part] for part in _ELF_KIND):
        raise DamagedError(f"{library} is for another kind of machine: install a fitting wheel")
    if content[4] == _ELF_64_BITS and (length := _elf_length(content)) > len(content):
        raise DamagedError(f"{library} is cut short: {len(content)} of {length} bytes; {_REPAIR}")


def _elf_length(content: bytes) -> int:
    """How long its headers say that a file is; the first header's own place may be beyond."""

    def number(start: int, size: int) -> int:
        return int.from_bytes(content[start : start + size], "little")

    ends = [number(40, 8) + number(58, 2) * number(60, 2)]
    first, size = number(32, 8), number(54, 2)
    for start in range(first, first + size * number(56, 2), size or 1):
        ends.append(start + size)
        if content[start : start + 4] == _ELF_LOAD:
            ends.append(number(start + 8, 8) + number(start + 32, 8))
    return max(ends)


def _records(site_directory: str, *kinds: str) -> list[str]:
    """The installer's lists of this package's files; after an unfinished upgrade there are two."""
    try:
        names = os.listdir(site_directory)
    except OSError:
        return []
    paths = (
        os.path.join(site_directory, name, kind)
        for name in names
        for kind in kinds
        if name.startswith(_NAME + "-") and name.endswith(".dist-info")
    )
    return [path for path in paths if os.path.isfile(path)]


def _check_record(library: str | None, content: bytes) -> None:
    site_directory = os.path.dirname(_PACKAGE)
    found = [
        _first_difference(path, library, content)
        for path in _records(site_directory, _PIPS, _DEBIANS)
    ]
    if found and all(found):
        raise DamagedError(f"{found[0]}; {_REPAIR}")


def _first_difference(record: str, library: str | None, content: bytes) -> str:
    """What is not as this record has it, or nothing."""
    with open(record, encoding="utf-8", errors="replace") as stream:
        lines = [line.rstrip().rsplit(",", 2) for line in stream]
    ours = [line for line in lines if line[0].startswith(_NAME + "/") and len(line) == 3]
    if not ours:
        return ""  # that of a link to a developer's working copy
    for name, digest, size in ours:
        path = os.path.join(os.path.dirname(_PACKAGE), name)
        if path == library and digest and digest != _digest(content):
            return f"{path} is not as it was installed"
        if size.isdigit() and not name.endswith(".pyc") and (wrong := _wrong_size(path, int(size))):
            return wrong
    return (
        ""
        if any(name.startswith(f"{_NAME}/_native.") for name, *_ in ours)
        else (f"{record} is cut short")
    )


def _wrong_size(path: str, expected: int) -> str:
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return f"{path} is missing"
    return "" if size == expected else f"{path} has {size} bytes, {expected} were installed"


def _digest(content: bytes) -> str:
    import base64
    import hashlib

    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return "sha256=" + digest.decode().rstrip("=")
