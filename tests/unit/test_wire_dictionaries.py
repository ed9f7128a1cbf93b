"""Dictionaries and headers on the bus, read by stock dbus-next: what a program sees is what was meant."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from dbus_next import Message, MessageType, Variant
from dbus_next._private.unmarshaller import Unmarshaller
from hypothesis import given
from hypothesis import strategies as st

from cortexd.connection import Malformed, MessageTooLarge, Unsendable, wire
from cortexd.connection.decode import MAX_VALUES, read_header
from cortexd.connection.encode import MAX_DEPTH, encode
from cortexd.connection.plain import _INTEGER_HEADS, _MOST_KEPT
from cortexd.domain.safe_values import INT64_MAX, safe_text
from tests.unit.carried import carried

LEVELS = 3  # of containers in each a{sv}
flat = st.one_of(
    st.none(),
    st.text(),
    st.booleans(),
    st.integers(-INT64_MAX, INT64_MAX),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(),
    st.lists(st.text()).map(tuple),
)
keys = st.text(max_size=80)
values = st.recursive(
    st.dictionaries(keys, flat),
    lambda below: st.dictionaries(keys, st.one_of(flat, below, st.lists(below, max_size=3)), max_size=6),
    max_leaves=8,
)


def message_of(signature: str, *body: Any) -> Message:
    return Message(destination="org.example", path="/", member="Take", signature=signature, body=list(body))


def stock(signature: str, *body: Any) -> list[Any]:
    """What stock dbus-next reads."""
    arrived: list[Any] = Unmarshaller(io.BytesIO(encode(message_of(signature, *body), 1))).unmarshall().body
    return arrived


def plain(value: Any) -> Any:
    """`value` without its variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def meant(value: Any) -> Any:
    """What shall arrive: without None, every text safe, a tuple as a list."""
    if isinstance(value, dict):
        return {safe_text(key): meant(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [meant(item) for item in value]
    return safe_text(value) if isinstance(value, str) else value


class TestValues:
    @given(values, st.text(max_size=9).map(safe_text))
    def test_stock_readers_and_ours_see_what_was_meant(self, value: dict[str, Any], before: str) -> None:
        """Of every type, nested, wherever the dictionary stands in a body, and other values behind it."""
        written = wire.dictionary(value)
        assert stock("sa{sv}aa{sv}u", before, written, [written, written], 7)[1:] == [
            (first := stock("a{sv}", written)[0]),
            [first, first],
            7,
        ]
        assert plain(first) == meant(value)
        assert carried(written) == meant(value)
        assert carried([written]) == [meant(value)]

    def test_types_are_those_of_the_interface(self) -> None:
        """A yes is no number, a row of rows no list of texts, and other types come as they are given."""
        shown = {"b": True, "x": 1, "d": 1.0, "ay": b"1", "as": ("1",), "aa{sv}": [{}], "a{sv}": {}, "s": "1"}
        [arrived] = stock("a{sv}", wire.dictionary({**shown, "a{ss}": Variant("a{ss}", {"a": "b"})}))
        assert {key: item.signature for key, item in arrived.items()} == {key: key for key in arrived}
        assert set(arrived) == {*shown, "a{ss}"}

    def test_what_the_bus_refuses_is_made_safe(self) -> None:
        """One bad text or number costs nobody a connection."""
        bad = {"nul\0": "a\0b", "half": ("\ud800",), "big": 2**70, "small": -(2**70), "nan": math.nan, "inf": -math.inf}
        assert carried(wire.dictionary(bad)) == {
            "nul\ufffd": "a\ufffdb",
            "half": ["\ufffd"],
            "big": INT64_MAX,
            "small": -INT64_MAX,
            "nan": 0.0,
            "inf": 0.0,
        }

    def test_an_unknown_type_is_refused(self) -> None:
        """Nothing is sent as something else."""
        with pytest.raises(KeyError):
            wire.dictionary({"set": {1}})


class TestBounds:
    @pytest.mark.parametrize("last", [{}, {"as": ("x",)}, {"ay": b"x"}, {"aa{sv}": [{}]}, {"v": Variant("a{ss}", {})}])
    def test_nesting(self, last: dict[str, Any]) -> None:
        """The deepest that the bus takes goes out, a level more does not."""
        own = {"as": 1, "ay": 1, "aa{sv}": 1 + LEVELS, "v": 2}
        room = MAX_DEPTH - sum(own[key] for key in last)
        for levels, fits in ((room // LEVELS, True), (room // LEVELS + 1, False)):
            value = last
            for _ in range(levels - 1):
                value = {"k": value}
            if fits:
                assert plain(stock("a{sv}", wire.dictionary(value)))
            else:
                with pytest.raises(Unsendable):
                    encode(message_of("a{sv}", wire.dictionary(value)), 1)

    def test_size(self) -> None:
        """What is too large for the bus is refused as such, whole or in parts."""
        half = wire.dictionary({"text": "x" * 16 * 2**20})
        assert len(encode(message_of("a{sv}", half), 1)) > 2**24
        with pytest.raises(MessageTooLarge):
            encode(message_of("aa{sv}", [half, half]), 1)

    def test_keys_do_not_pile_up(self) -> None:
        """Thousands of keys that others choose leave a bounded store, and all arrive, also long ones."""
        many = {f"key {number}" + "x" * (number % 90): number for number in range(3 * _MOST_KEPT)}
        assert carried(wire.dictionary(many)) == many
        assert len(_INTEGER_HEADS) <= _MOST_KEPT
        assert max(map(len, _INTEGER_HEADS)) <= 64


class TestHeaders:
    def test_calls_that_are_alike_but_for_one_name(self) -> None:
        """Each message has its own names, however many of its kind came and went before."""
        for _ in range(2):
            for field, names in {"path": ("/a", "/b"), "member": ("A", "B"), "destination": ("a.b", ":1.2")}.items():
                for number, name in enumerate(names):
                    message = message_of("s", "x")
                    setattr(message, field, name)
                    frame = read_header(encode(message, number + 1))
                    frame.read_body(MAX_VALUES)
                    assert (getattr(frame.message, field), frame.message.serial) == (name, number + 1)
                    assert (frame.message.body, frame.message.signature) == (["x"], "s")

    def test_answers_are_told_apart(self) -> None:
        """Of answers that are alike each names its own call."""
        for serial in (7, 8, 2**32 - 1):
            answer = Message(message_type=MessageType.ERROR, error_name="a.b", reply_serial=serial, destination=":1.2")
            message = read_header(encode(answer, 3)).message
            assert (message.reply_serial, message.serial) == (serial, 3)
            assert (message.error_name, message.destination, message.sender) == ("a.b", ":1.2", None)

    def test_a_header_that_is_not_all_there(self) -> None:
        """Wherever it is cut it is refused, never read as a shorter one."""
        whole = bytes(encode(message_of("", *()), 1))
        assert read_header(whole).message.member == "Take"
        for size in range(16, 16 + int.from_bytes(whole[12:16], "little")):
            with pytest.raises(Malformed):
                read_header(whole[:size])
