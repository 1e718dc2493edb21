"""The arguments of a QMP command as they are typed: ``key=value...``, or one JSON object."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from .schema import Schema, UnfitError


def read(schema: Schema, command: str, words: Sequence[str]) -> dict[str, object]:
    """Read the arguments, and see that this QEMU takes them.

    A value becomes what the schema says that the argument is: ``on`` a true, ``0x10`` a 16.
    ``key.member=value`` gives a member of an object, ``key:=JSON`` a value as JSON.

    Args:
        schema: of the QEMU that is to get them.
        command: the command's name.
        words: as typed, one after the other.

    Raises:
        UnfitError: no such command, an unknown argument, one that is missing, or a wrong value.
    """
    schema.check_command(command)
    given = _as_json(words[0]) if len(words) == 1 and words[0].lstrip()[:1] == "{" else {}
    if not given:
        for word in words if words != ["{}"] else ():
            _add(schema, command, word, given)
    schema.check(command, given)
    return given


def split(line: str) -> list[str]:
    """Split a typed line into words, as a shell does; JSON keeps its quotes.

    Raises:
        UnfitError: a quote is not closed.
    """
    command, _, rest = line.strip().partition(" ")
    if rest.lstrip()[:1] == "{":
        return [command, rest.strip()]
    try:
        return shlex.split(line)
    except ValueError as err:
        raise UnfitError(f"{err}: {line!r}") from None


def _as_json(text: str) -> dict[str, object]:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise UnfitError(f"the arguments are no JSON: {err}") from None
    if not isinstance(loaded, dict):
        raise UnfitError("the arguments are to be one JSON object")
    return loaded


def _add(schema: Schema, command: str, word: str, given: dict[str, object]) -> None:
    key, equals, text = word.partition("=")
    if not equals or not key.removesuffix(":"):
        raise UnfitError(f"{word!r} is no key=value, and no JSON object")
    is_json = key.endswith(":")
    path = key.removesuffix(":").split(".")
    value: object
    if is_json:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise UnfitError(f"{key}={text!r} is no JSON: {err}") from None
    else:
        value = schema.read_argument(command, path, text, given)
    place = given
    for name in path[:-1]:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UnfitError(f"{key} is given twice, in two ways")
        place = inner
    if path[-1] in place:
        raise UnfitError(f"{key} is given twice")
    place[path[-1]] = value
