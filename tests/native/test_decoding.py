"""Whatever JSON says, the decoder and Python's own agree; on what is not JSON too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpMessage

RECORDED = Path(__file__).parents[1] / "data/qmp/7.2"
MAX_DEPTH = 100

# Lengths around those at which the decoder takes another path: 7, 15, 23 and 31 bytes.
NAMES = st.text('abcä𝄞"\\\n\x7f', max_size=40)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(NAMES, inner, max_size=12),
    max_leaves=60,
)


def decode(text: str | bytes) -> Any:
    return QmpMessage.build_from_json_string(text).data


def refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are Python's own


def finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(number)  # no JSON that we write could say it again
    return value


def expected(text: str) -> Any:
    """What Python reads; None for what is no message."""
    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def check(text: str) -> None:
    value = expected(text)
    if value is None:
        with pytest.raises(errors.QmpProtocolError):
            decode(text)
    else:
        # repr tells 1 from 1.0 and True, and -0.0 from 0.0
        assert repr(decode(text)) == repr(value)
        assert repr(decode(text.encode("utf-8", "surrogatepass"))) == repr(value)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_replies(path: Path) -> None:
    check(path.read_text())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=12), st.booleans(), st.sampled_from([None, 1]))
def test_what_python_writes(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert repr(decode(text)) == repr(value)


# a loaded machine is no fault of the test's
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.data())
def test_text_with_a_fault(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=False)
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 3))
    instead = data.draw(st.text('{}[]:,"\\0123-+.eEtfnu \n\x00ä', max_size=3))
    check(text[:at] + instead + text[at + length :])


@given(st.text('{}[]:,"\\01-+.eEtrufalsn \n', max_size=30))
@example('"\\ud800"')
@example('"\\u12')
@example("tru")
@example("1.")
@example("-")
@example("01")
@example("-0")
@example("1e5")
@example("0" * 20)
@example("1" * 18)
@example("1" * 19)
@example("-" + "9" * 19)
@example("NaN")
@example("-Infinity")
@example('"' + "x" * 14)
@example('"' + "x" * 15 + '\\"')
def test_bits_of_json(text: str) -> None:
    check(f'{{"a": {text}}}')
    check(f'{{{text}: 1, "b": [{text}, {text}]}}')
    check(text)


@pytest.mark.parametrize("length", range(40))
@pytest.mark.parametrize("after", ["", " " * 40])
def test_strings_of_each_length(length: int, after: str) -> None:
    text = "x" * length
    for middle in ("", "ä", "\\n", "\\u00e4"):
        check(f'{{"{text}{middle}": "{middle}{text}"{after}}}')


def test_equal_keys_and_values_may_be_one_object_but_never_another_text() -> None:
    names = [f"{first}{last:03}" for first in "abcdefgh" for last in range(1000)]
    text = json.dumps({"return": [{name: name[::-1]} for name in names]})
    for _ in range(2):
        assert decode(text) == json.loads(text)


@pytest.mark.parametrize("count", [1, 5, 6, 17, 40])
def test_objects_of_the_same_form_and_almost_the_same(count: int) -> None:
    """What came last time is a guess: any key may differ, be longer, shorter, missing or twice."""
    keys = [f"key-{'x' * (index % 33)}{index}" for index in range(count)]
    objects = []
    for at in range(count):
        for instead in (
            [],
            [keys[at] + "y"],
            [keys[at][:-1]],
            [keys[at]] * 2,
            [keys[0]],
            ["\\u00e4"],
        ):
            changed = [*keys[:at], *instead, *keys[at + 1 :]]
            for form in (keys, changed, changed):
                members = ", ".join(f'"{key}": {n}' for n, key in enumerate(form))
                objects.append(f"{{{members}}}")
    check(f'{{"return": [{", ".join(objects)}]}}')


def test_what_was_read_is_not_what_is_read_next() -> None:
    text = json.dumps({"return": [{f"key{index}": None for index in range(9)}] * 2})
    first, second = decode(text)["return"]
    first["key0"] = "changed"
    del first["key1"]
    assert second == {f"key{index}": None for index in range(9)}
    assert decode(text)["return"] == [second] * 2


def test_a_long_text_with_few_values() -> None:
    text = json.dumps({"return": [{"name": f"n{i % 300}", "type": "int"} for i in range(5000)]})
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 4301, "-" + "1" * 4301, "1" * 100_000])
def test_numbers_beyond_all_bounds(number: str) -> None:
    with pytest.raises(errors.QmpProtocolError):
        decode(f'{{"a": {number}}}')
    check(f'{{"a": {number[:300]}}}')


@pytest.mark.parametrize("item", ["{},", "0,", "[],", '"",', "1e400,"])
def test_values_are_bounded_in_count(item: str) -> None:
    """Fault: 63 MiB of ``{},`` were 1.8 GiB of objects."""
    with pytest.raises(errors.QmpProtocolError):
        decode('{"a": [' + item * 2_000_000 + "0]}")


def test_depth() -> None:
    inner = MAX_DEPTH - 1
    check('{"a": ' + "[" * inner + "]" * inner + "}")
    with pytest.raises(errors.QmpProtocolError, match="more than 100"):
        decode('{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}")


def test_decoding_in_the_midst_of_decoding() -> None:
    """Making an object may collect garbage, and its finalizer may decode as well."""
    decoded = []

    class Finalized:
        def __del__(self) -> None:
            decoded.append(decode('{"inner": "text"}'))

    for _ in range(2000):
        loop: list[Any] = [Finalized()]
        loop.append(loop)
    text = json.dumps({"return": [{"a": []}] * 20_000})
    assert decode(text) == json.loads(text)
    del loop
    assert decoded.count({"inner": "text"}) == len(decoded) > 0
