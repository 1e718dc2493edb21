"""What a QEMU says that its commands take: its answer to ``query-qmp-schema``.

See "Client JSON Protocol introspection" in QEMU's docs/devel/qapi-code-gen. The schema is a list of
named entities; each is read here as far as arguments need it, and what is not understood forbids
nothing: QEMU has the last word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.suggest import did_you_mean

_DEEPEST = 32
_SHOWN = 8

#: They take more than the schema tells: the properties of the device.
_OPEN = ("device_add",)

_YES = frozenset({"on", "yes", "true", "y"})
_NO = frozenset({"off", "no", "false", "n"})


class Member(NamedTuple):
    """One argument, or one member of an object.

    Attributes:
        type: the name of its type in the schema.
        needed: whether it has to be given.
    """

    name: str
    type: str
    needed: bool


class UnfitError(ValueError):
    """Arguments that this QEMU does not take, or a command that it does not have."""


class Schema:
    """The schema of one QEMU.

    Args:
        entities: the value that ``query-qmp-schema`` returned.

    Raises:
        UnfitError: it is no schema.
    """

    def __init__(self, entities: object) -> None:
        if not isinstance(entities, list) or not all(
            isinstance(one, dict) and isinstance(one.get("name"), str) for one in entities
        ):
            raise UnfitError("what this QEMU gave as its schema is none")
        self._entities: dict[str, dict[str, object]] = {one["name"]: one for one in entities}
        self._open = {self._entities.get(name, {}).get("arg-type") for name in _OPEN}

    def commands(self) -> list[str]:
        """Name the commands, sorted."""
        return sorted(
            name for name, one in self._entities.items() if one.get("meta-type") == "command"
        )

    def check_command(self, command: str) -> None:
        """See that there is such a command.

        Raises:
            UnfitError: there is none, and which one may be meant.
        """
        if self._entities.get(command, {}).get("meta-type") != "command":
            raise UnfitError(
                f"this QEMU has no command {command!r}{did_you_mean(command, self.commands())}"
            )

    def is_deprecated(self, command: str) -> bool:
        """Whether QEMU says that the command will go."""
        features = self._entities.get(command, {}).get("features")
        return isinstance(features, list) and "deprecated" in features

    def arguments(self, command: str, given: Mapping[str, object] | None = None) -> list[Member]:
        """Give what a command takes.

        Args:
            command: its name.
            given: arguments so far: some of them decide which others there are.
        """
        kind = self._entities.get(command, {}).get("arg-type")
        return self._members(kind, given or {}) if isinstance(kind, str) else []

    def values(self, kind: str) -> list[str]:
        """Give the values that a type has, where they are few: of an enumeration, or a boolean."""
        entity = self._entities.get(kind, {})
        if entity.get("meta-type") == "enum":
            values = entity.get("values")
            if isinstance(values, list):
                return [one for one in values if isinstance(one, str)]
            return [str(one["name"]) for one in _parts(entity, "members") if "name" in one]
        if entity.get("json-type") == "boolean":
            return ["on", "off"]
        return []

    def check(self, command: str, given: object) -> None:
        """See that a command is there, and takes these arguments.

        Raises:
            UnfitError: each reason why not.
        """
        self.check_command(command)
        kind = self._entities[command].get("arg-type")
        problems = list(self._problems(kind, given, "", 0)) if isinstance(kind, str) else []
        if problems:
            more = len(problems) - _SHOWN
            told = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            raise UnfitError(f"{command} does not take that: {told}")

    def read_argument(
        self, command: str, path: Sequence[str], text: str, given: Mapping[str, object]
    ) -> object:
        """Read the value of an argument that was typed as ``name=text``.

        Args:
            command: the command's name.
            path: the argument's name; below it the names of members.
            text: what was typed for it.
            given: the arguments so far.

        Raises:
            UnfitError: no such argument, or the text means no value of its type.
        """
        kind: str = str(self._entities.get(command, {}).get("arg-type"))
        inside: object = given
        for index, name in enumerate(path):
            kind = self._object_of(kind)
            members = {
                one.name: one
                for one in self._members(kind, inside if isinstance(inside, dict) else {})
            }
            if name not in members and kind in self._open:
                return _guessed(text)
            if name not in members:
                whose = ".".join([command, *path[:index]])
                raise UnfitError(f"{whose} has no argument {name!r}{did_you_mean(name, members)}")
            kind = members[name].type
            inside = inside.get(name) if isinstance(inside, dict) else None
        return self._read(kind, ".".join(path), text)

    def _read(self, kind: str, name: str, text: str) -> object:
        json_type, meta = self._json_type(kind), self._entities.get(kind, {}).get("meta-type")
        if json_type == "string" or meta == "enum":
            return text
        if json_type == "boolean":
            if text.lower() in _YES | _NO:
                return text.lower() in _YES
            raise UnfitError(f"{name} is on or off, not {text!r}")
        if json_type == "int":
            try:
                return int(text, 0)
            except ValueError:
                raise UnfitError(f"{name} is a whole number, not {text!r}") from None
        try:
            value: object = json.loads(text)
        except ValueError as err:
            if meta == "alternate" or json_type == "value":
                return text
            raise UnfitError(f"{name} is to be JSON, and {text!r} is not: {err}") from None
        return value

    def _object_of(self, kind: str) -> str:
        """The type of which members can be given: of an alternate, its object."""
        entity = self._entities.get(kind, {})
        if entity.get("meta-type") == "alternate":
            kinds = [str(one.get("type")) for one in _parts(entity, "members")]
            return next((one for one in kinds if self._json_type(one) == "object"), kind)
        return kind

    def _json_type(self, kind: str) -> str:
        entity = self._entities.get(kind, {})
        meta = entity.get("meta-type")
        if meta == "builtin":
            return str(entity.get("json-type"))
        return {"array": "array", "object": "object", "enum": "string"}.get(str(meta), "value")

    def _members(self, kind: str, given: Mapping[str, object]) -> list[Member]:
        entity = self._entities.get(kind, {})
        found = [
            Member(str(one["name"]), str(one.get("type")), "default" not in one)
            for one in _parts(entity, "members")
            if "name" in one
        ]
        tag = entity.get("tag")
        if isinstance(tag, str):
            for variant in _parts(entity, "variants"):
                if variant.get("case") == given.get(tag):
                    found += self._members(str(variant.get("type")), given)
        return found

    def _problems(self, kind: str, value: object, place: str, depth: int) -> Iterator[str]:
        entity = self._entities.get(kind, {})
        meta = entity.get("meta-type")
        if depth > _DEEPEST:
            yield f"{place} is nested too deeply"
        elif meta == "builtin":
            yield from _builtin_problems(str(entity.get("json-type")), value, place)
        elif meta == "enum":
            values = self.values(kind)
            if value not in values:
                hint = did_you_mean(str(value), values)
                yield f"{place} is {value!r:.60}, which is none of {_listed(values)}{hint}"
        elif meta == "array":
            if not isinstance(value, list):
                yield f"{place} is to be a list, not {_type_of(value)}"
                return
            for index, item in enumerate(value):
                yield from self._problems(
                    str(entity.get("element-type")), item, f"{place}[{index}]", depth + 1
                )
        elif meta == "object":
            yield from self._object_problems(kind, value, place, depth)
        elif meta == "alternate":
            yield from self._alternate_problems(entity, value, place, depth)

    def _object_problems(self, kind: str, value: object, place: str, depth: int) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place or 'it'} is to be an object, not {_type_of(value)}"
            return
        members = {one.name: one for one in self._members(kind, value)}
        for name, one in members.items():
            where = f"{place}.{name}" if place else name
            if name in value:
                yield from self._problems(one.type, value[name], where, depth + 1)
            elif one.needed:
                yield f"{where} is missing"
        if kind in self._open:
            return
        for name in sorted(value.keys() - members.keys()):
            where = f"{place}.{name}" if place else name
            yield f"{where} is not known{did_you_mean(name, members)}"

    def _alternate_problems(
        self, entity: Mapping[str, object], value: object, place: str, depth: int
    ) -> Iterator[str]:
        kinds = [str(one.get("type")) for one in _parts(entity, "members")]
        fitting = [kind for kind in kinds if self._json_type(kind) in _json_types(value)]
        if not fitting:
            yield f"{place} cannot be {_type_of(value)}"
            return
        found = [list(self._problems(kind, value, place, depth + 1)) for kind in fitting]
        if all(found):
            yield from found[0]


def _parts(entity: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The objects in a list of the schema."""
    found = entity.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _builtin_problems(json_type: str, value: object, place: str) -> Iterator[str]:
    if json_type != "value" and json_type not in _json_types(value):
        wanted = {"int": "a whole number", "boolean": "true or false", "string": "a text"}
        yield f"{place} is to be {wanted.get(json_type, json_type)}, not {_type_of(value)}"


def _json_types(value: object) -> tuple[str, ...]:
    """The schema's words for what a value is in JSON."""
    if isinstance(value, bool):
        return ("boolean", "value")
    if isinstance(value, int):
        return ("int", "number", "value")
    if isinstance(value, float):
        return ("number", "value")
    for kind, name in ((str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return (name, "value")
    return ("null", "value")


def _type_of(value: object) -> str:
    return {
        "boolean": "true or false",
        "int": "a whole number",
        "number": "a number",
        "string": "a text",
        "array": "a list",
        "object": "an object",
        "null": "null",
    }[_json_types(value)[0]]


def _guessed(text: str) -> object:
    """The value of what no schema tells the type of: JSON where it is some."""
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _listed(values: list[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
