"""QmpMessage and QmpEvent: what both generations of Ganeti expect of them."""

from __future__ import annotations

import gc
import json
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpEvent, QmpMessage, QmpTimestamp

#: Python's own JSON has no other values; keys are text.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # QEMU never sends half a surrogate, and a file of UTF-8 cannot hold one.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


def test_a_missing_field_is_none():
    message = QmpMessage({"execute": "stop"})
    assert message["execute"] == "stop"
    assert message["arguments"] is None
    assert ("execute" in message, "arguments" in message) == (True, False)


def test_a_message_is_its_dictionary():
    data = {"execute": "stop"}
    message = QmpMessage(data)
    message["id"] = 1
    assert data == {"execute": "stop", "id": 1}
    assert message.data is data
    assert len(message) == 2
    del message["id"]
    assert len(message) == 1
    with pytest.raises(KeyError):
        del message["id"]


def test_equality_is_that_of_the_content():
    message = QmpMessage({"return": [1]})
    assert message == QmpMessage({"return": [1]})
    assert message == {"return": [1]}
    assert message != QmpMessage({"return": [2]})
    assert message != [1]
    with pytest.raises(TypeError):
        hash(message)


def test_text_forms_are_a_single_line():
    message = QmpMessage({"execute": "x", "arguments": {"text": "a\nb", "n": [1, 2]}})
    text = '{"execute": "x", "arguments": {"text": "a\\nb", "n": [1, 2]}}'
    assert str(message) == message.to_json_string() == text
    assert message.to_bytes() == text.encode() + b"\n"


def test_its_repr_tells_no_values():
    assert "hunter2" not in repr(QmpMessage({"arguments": {"password": "hunter2"}}))


@pytest.mark.parametrize("data", [None, [], "{}", 3, ("a", 1)])
def test_only_a_dictionary_makes_a_message(data):
    with pytest.raises(TypeError):
        QmpMessage(data)


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_what_is_written_is_read_again(data):
    # The protocol's own keys have forms that other values do not.
    data = {f"x-{key}": value for key, value in data.items()}
    for build in (QmpMessage.build_from_json_string, QmpMessage.BuildFromJsonString):
        for text in (QmpMessage(data).to_bytes(), str(QmpMessage(data)), json.dumps(data)):
            assert repr(build(text).data) == repr(json.loads(json.dumps(data)))


NUMBERS = """0 -0 -0.0 1.0 1e3 0.1 9007199254740993 9223372036854775807
    -9223372036854775808 18446744073709551615 18446744073709551616 -99999999999999999999999999
    123456789012345678901234567890.5 2.2250738585072011e-308 12345678901234567e-1"""


@pytest.mark.parametrize("number", NUMBERS.split())
def test_numbers_keep_their_value_and_type(number):
    got = QmpMessage.build_from_json_string(f'{{"return": [{number}]}}')["return"]
    assert repr(got) == repr(json.loads(f"[{number}]"))


def test_text_keeps_its_characters():
    text = '{"return": "\\u00e4 ä \\ud834\\udd1e 𝄞 \\"\\\\\\/\\b\\f\\n\\r\\t \\ud800"}'
    assert QmpMessage.build_from_json_string(text).data == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "3", "null", "{", "{}{}", "{'a': 1}", "hunter2", '{"a": hunter2}'),
        *(b"\xff", b'{"a": "\xff"}'),
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a": ' + "9" * 10_000 + "}",
    ],
)
def test_what_is_no_message_is_a_protocol_error(text):
    with pytest.raises(errors.QmpProtocolError) as caught:
        QmpMessage.build_from_json_string(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", [b"x", {1, 2}, float("nan"), object(), 1j])
def test_what_json_cannot_hold_is_a_hypervisor_error(value):
    message = QmpMessage({"arguments": {"password": "hunter2", "x": value}})
    for write in (message.to_bytes, message.to_json_string, lambda: str(message)):
        with pytest.raises(errors.HypervisorError) as caught:
            write()
        assert "hunter2" not in str(caught.value)


def test_a_message_that_holds_itself_is_refused_and_collected():
    class Marker:
        pass

    data = {"marker": (marker := Marker())}
    data["self"] = QmpMessage(data)
    with pytest.raises(errors.HypervisorError):
        data["self"].to_bytes()
    gone = weakref.ref(marker)
    del data, marker
    gc.collect()
    assert gone() is None


def test_an_event():
    event = QmpEvent(QmpTimestamp(seconds=1, microseconds=2), "STOP", {"a": 1})
    assert event.timestamp == (1, 2)
    assert (event.timestamp.seconds, event.timestamp.microseconds) == (1, 2)
    assert (event.event_type, event.data, event["a"], event["b"]) == ("STOP", {"a": 1}, 1, None)
    assert "STOP" in repr(event)


def test_an_event_from_a_message():
    data = {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}
    event = QmpEvent.build_from_data(data)
    assert (event.event_type, event.timestamp, event.data) == ("STOP", QmpTimestamp(1, 2), {})
    assert QmpEvent.build_from_data({**data, "data": {"x": 1}})["x"] == 1


@pytest.mark.parametrize(
    "data", [{}, {"event": "A"}, {"event": 1, "timestamp": {}}, {"event": "A", "timestamp": 3}]
)
def test_what_is_no_event_is_a_protocol_error(data):
    with pytest.raises(errors.QmpProtocolError):
        QmpEvent.build_from_data(data)
