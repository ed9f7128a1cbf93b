"""One request in the forms in which D-Bus libraries can send it: each means the same to the provider.

Several know no typed list of dictionaries and send `av` (QtDBus for Python, pydbus, Lua); others put a variant around
each value, or several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dbus_next import Variant

from simulated import Received
from tests.system.program import (  # noqa: F401
    MANAGER,
    NAME,
    USAGE,
    Program,
    dictionary,
    message,
    program_fixture,
    refused,
)
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of

Json = dict[str, Any]
Wrap = Callable[[Variant], Variant]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
TALK: list[Json] = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": [{"type": "text", "text": "The weather here?"}, {"type": "image", "data": PNG}]},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_1", "name": "weather", "arguments": '{"at": "here"}'}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
]
SCHEMA = '{"type": "object", "properties": {"at": {"type": "string"}}}'
OPTIONS: Json = {
    "tools": [{"name": "weather", "description": "The weather", "parameters": SCHEMA}, {"name": "time"}],
    "tool_choice": "auto",
    "max_tokens": 200,
    "labels": {"team": "web"},
}


def wrapped(times: int) -> Wrap:
    """Variants around a variant."""

    def wrap(value: Variant) -> Variant:
        for _ in range(times):
            value = Variant("v", value)
        return value

    return wrap


def as_typed(value: Any, wrap: Wrap) -> Variant:
    """Lists of dictionaries as aa{sv}, dictionaries of text as a{ss}."""
    if isinstance(value, list):
        return wrap(Variant("aa{sv}", [rows(row, as_typed, wrap) for row in value]))
    return wrap(dictionary({"": value})[""])


def as_variants(value: Any, wrap: Wrap) -> Variant:
    """Lists as av, dictionaries as a{sv}."""
    if isinstance(value, list):
        return wrap(Variant("av", [as_variants(item, wrap) for item in value]))
    if isinstance(value, dict):
        return wrap(Variant("a{sv}", rows(value, as_variants, wrap)))
    return wrap(dictionary({"": value})[""])


def rows(row: Json, form: Callable[[Any, Wrap], Variant], wrap: Wrap) -> dict[str, Variant]:
    return {key: form(value, wrap) for key, value in row.items()}


# the signature of messages, then how they and the options are written
FORMS: dict[str, tuple[str, Any, dict[str, Variant]]] = {
    name: (
        signature,
        [rows(row, form, wrap) for row in TALK]
        if signature == "aa{sv}"
        else [wrap(Variant("a{sv}", rows(row, form, wrap))) for row in TALK],
        rows(OPTIONS, form, wrap),
    )
    for name, signature, form, wrap in (
        ("typed", "aa{sv}", as_typed, wrapped(0)),
        ("typed, variants inside", "aa{sv}", as_variants, wrapped(0)),
        ("variants", "av", as_variants, wrapped(0)),
        ("variants, typed inside", "av", as_typed, wrapped(0)),
        ("variants in variants", "av", as_variants, wrapped(1)),
        ("deep variants", "av", as_variants, wrapped(9)),
        ("deep variants, typed", "aa{sv}", as_typed, wrapped(25)),
    )
}


def last(shared: Shared) -> Received:
    return shared.simulated.received("claude")[-1]


class TestOneMeaning:
    @pytest.mark.parametrize("form", FORMS)
    async def test_complete(self, shared: Shared, program: Program, form: str) -> None:
        """The provider gets the same bytes, and the caller an answer."""
        _, typed, options = FORMS["typed"]
        await program.call(NAME, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", typed, options)
        expected = last(shared).body
        assert "weather" in expected
        signature, turns, options = FORMS[form]
        content, metadata = await program.call(
            NAME, "CompleteWithOptions", f"s{signature}a{{sv}}", "user_chat", turns, options
        )
        assert last(shared).body == expected
        assert (bool(content), metadata["provider"]) == (True, "claude")
        assert shared.requests()["claude"] == 2

    async def test_complete_without_options(self, shared: Shared, program: Program) -> None:
        """Complete takes `av` too."""
        turns = [Variant("a{sv}", dictionary({"role": "user", "content": "plainly"}))]
        content, _ = await program.call(NAME, "Complete", "sav", "user_chat", turns)
        assert content.endswith("plainly")

    async def test_batch(self, shared: Shared, program: Program) -> None:
        """Each request of a batch may have its messages as `av`."""
        turns = [Variant("a{sv}", dictionary({"role": "user", "content": "one of two"}))]
        requests = [["user_chat", turns], ["code_generation", turns]]
        [answers] = await program.call(NAME, "CompleteBatch", "a(sav)a{sv}", requests, {})
        assert [metadata["provider"] for _, metadata in answers] == ["claude", "kimi_k2"]
        assert all(content.endswith("one of two") for content, _ in answers)

    async def test_stream(self, shared: Shared, program: Program) -> None:
        """OpenStream and Route take it as well."""
        turns = [Variant("a{sv}", dictionary({"role": "user", "content": "bit by bit"}))]
        [decision] = await program.call(NAME, "Route", "sava{sv}", "user_chat", turns, {})
        assert decision["provider"] == "claude"
        stream = await Stream.of(program, message("OpenStream", "sava{sv}", "user_chat", turns, {}))
        assert text_of(await stream.read()).endswith("bit by bit")

    @pytest.mark.parametrize("wrap", [wrapped(0), wrapped(5)], ids=["variants", "deep variants"])
    async def test_other_dictionaries(self, shared: Shared, program: Program, wrap: Wrap) -> None:
        """Queries, preferences and outcomes: lists and dictionaries of variants stand for typed ones."""
        content = await program.complete("user_chat", "hello", labels={"team": "web"})
        query = rows({"group_by": ["model", "label"], "label": "team"}, as_variants, wrap)
        [found] = await program.call(USAGE, "GetUsage", "a{sv}", query)
        assert ("claude-sonnet-5-5", "web") in [(row["model"], row["label"]) for row in found]
        wishes = rows({"providers": {"user_chat": "kimi_k2"}, "local_only": False}, as_variants, wrap)
        await program.call(MANAGER, "SetPreferences", "a{sv}", wishes)
        [preferences] = await program.call(MANAGER, "GetPreferences")
        await program.call(MANAGER, "SetPreferences", "a{sv}", {})
        assert preferences == {"providers": {"user_chat": "kimi_k2"}, "local_only": False}
        outcome = rows({"labels": {"kept": "yes"}, "reason": "right"}, as_variants, wrap)
        request_id = content.metadata["request_id"]
        assert await program.call(NAME, "ReportOutcome", "sda{sv}", request_id, 1.0, outcome) == []


class TestWhatIsNone:
    @pytest.mark.parametrize(
        ("turns", "place"),
        [
            ([Variant("s", "hello")], "messages[0]"),
            ([Variant("a{sv}", dictionary({"role": "user", "content": "x"})), Variant("i", 1)], "messages[1]"),
            ([], "messages"),
            ([Variant("av", [])], "messages[0]"),
            (
                [Variant("a{sv}", {"role": Variant("s", "user"), "content": Variant("ai", [1])})],
                "messages[0].content[0]",
            ),
        ],
    )
    async def test_messages(self, shared: Shared, program: Program, turns: list[Variant], place: str) -> None:
        """A list of something else is InvalidArgument with its place."""
        with refused("InvalidArgument") as text:
            await program.call(NAME, "Complete", "sav", "user_chat", turns)
        assert text[0].startswith(f"{place}: ")

    @pytest.mark.parametrize(
        ("value", "place"),
        [
            (Variant("av", [Variant("s", "weather")]), "options.tools[0]"),
            (Variant("av", [Variant("a{sv}", {})]), "options.tools[0].name"),
            (wrapped(9)(Variant("s", "weather")), "options.tools"),
        ],
    )
    async def test_tools(self, shared: Shared, program: Program, value: Variant, place: str) -> None:
        """As for typed ones."""
        turns = [dictionary({"role": "user", "content": "x"})]
        with refused("InvalidArgument") as text:
            await program.call(NAME, "Route", "saa{sv}a{sv}", "user_chat", turns, {"tools": value})
        assert text[0].startswith(f"{place}: ")
