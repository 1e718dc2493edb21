"""Keeps secrets out of what is shown: command lines, runtime files, replies, logs.

A name says that its value is a secret (``password=...``, ``"data": ...``), or a URI has one between
its user and its host. Names of files that hold secrets are none themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"

#: Members of QMP's objects, properties of QEMU's arguments, and hypervisor parameters.
_NAMES = frozenset(
    {"password", "passwd", "passphrase", "rawdata", "secret", "vnc_password", "spice_password"}
)
#: Secrets only where the object around them is one that holds them (``secret``, ``set_password``).
_HOLDERS = frozenset({"secret", "secret_keyring", "tls-creds-psk"})
#: QMP's commands whose arguments hold a secret; which of them, src/qmp/secrets.rs knows.
_OF_COMMANDS = frozenset({"object-add", "qom-set", "change-vnc-password", "set_password"})
#: Properties that `qom-get` would give away.
_PROPERTIES = _NAMES | {"data"}

# Each takes a text once, however long its words are: a reply may be one word of 16 MiB, and no
# deadline ends a search, which holds Python's lock. So none begins at every letter of a word.
_PROPERTY = re.compile(
    r"(?i)(?<![\w-])((?:password|passwd|passphrase|rawdata)\s*[=:]\s*)(\"[^\"]*\"|[^\s,\"']+)"
)
_SECRET_OBJECT = re.compile(r"(?<![\w-])(data=)((?:[^,\s]|,,)+)")
_IN_JSON = re.compile(
    r'("(?:password|passwd|passphrase|rawdata|password-data)"\s*:\s*)"(?:[^"\\]|\\.)*"'
)
_URI = re.compile(r"(?<=[\w+.-])(://[^\s/@:%]+[:%])[^\s/@]+(@)")
_RBD = re.compile(r"rbd:[^\s,]*")
_RBD_KEY = re.compile(r"(:key=)[^\s:,]+")
_HMP = re.compile(r"(?m)^([^\S\n]*(?:set_password|change\s+vnc)\s+\S+)\s.*$")


def text(foreign: str) -> str:
    """Give a text without the secrets in it."""
    shown = _PROPERTY.sub(rf"\1{HIDDEN}", foreign)
    shown = _IN_JSON.sub(rf'\1"{HIDDEN}"', shown)
    shown = _URI.sub(rf"\1{HIDDEN}\2", shown)
    shown = _RBD.sub(lambda image: _RBD_KEY.sub(rf"\1{HIDDEN}", image[0]), shown)
    if "secret" in shown:
        shown = _SECRET_OBJECT.sub(rf"\1{HIDDEN}", shown)
    return shown


def words(command: Iterable[str]) -> list[str]:
    """Give a command line without its secrets, word by word."""
    return [text(word) for word in command]


def value(foreign: object, secret: bool = False) -> object:
    """Give a value out of JSON without the secrets in it.

    Args:
        foreign: what was read.
        secret: what is around it says that it is one.
    """
    if isinstance(foreign, str):
        return HIDDEN if secret and foreign else text(foreign)
    if isinstance(foreign, list):
        return [value(one, secret) for one in foreign]
    if isinstance(foreign, dict):
        holds = foreign.get("qom-type") in _HOLDERS
        return {
            name: value(one, secret or name in _NAMES or (holds and name == "data"))
            for name, one in foreign.items()
        }
    return HIDDEN if secret and foreign is not None and not isinstance(foreign, bool) else foreign


def has_secrets(command: str) -> bool:
    """Whether a command of QMP takes a secret."""
    return command in _OF_COMMANDS


def human(line: str) -> str:
    """Give a command of the human monitor without its secret."""
    return text(_HMP.sub(rf"\1 {HIDDEN}", line))


def reply(command: str, given: Mapping[str, object], answer: object) -> object:
    """Give what QEMU replied without the secrets in it."""
    is_secret = command == "qom-get" and given.get("property") in _PROPERTIES
    return value(answer, is_secret)
