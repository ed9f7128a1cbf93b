"""Hypothesis strategies for calls that nobody sane would make, and some that are right, by the interface file.

A Case is one call: its method, arguments as dbus-next takes them, and whether a descriptor travels with it.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from datetime import date
from typing import Any
from xml.etree import ElementTree

from dbus_next import Message, Variant
from hypothesis import strategies as st

from tests.system.namespace import CHECKOUT
from tests.system.program import NAME, message

INTERFACE_FILE = CHECKOUT / "dbus" / f"{NAME}.xml"
_INTS = {"y": (0, 8), "n": (1, 16), "q": (0, 16), "i": (1, 32), "u": (0, 32), "x": (1, 64), "t": (0, 64)}

Strategy = st.SearchStrategy[Any]


@dataclass(frozen=True, slots=True)
class Method:
    """`arguments`: name and signature of each."""

    interface: str
    name: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def takes(self) -> str:
        return "".join(signature for _, signature in self.arguments)


@dataclass(frozen=True, slots=True)
class Case:
    method: Method
    body: list[Any]
    descriptor: bool = False

    def message(self) -> Message:
        """`unix_fds` is for the sender to fill where `descriptor` is set."""
        return message(self.method.name, self.method.takes, *self.body, interface=self.method.interface)


def methods_with_arguments() -> list[Method]:
    """As the interface file has them."""
    found = []
    for interface in ElementTree.parse(INTERFACE_FILE).getroot().iter("interface"):
        for method in interface.iter("method"):
            taken = [argument for argument in method.iter("arg") if argument.get("direction") == "in"]
            if taken:
                arguments = tuple((argument.attrib["name"], argument.attrib["type"]) for argument in taken)
                found.append(Method(interface.attrib["name"], method.attrib["name"], arguments))
    return found


def integers(code: str) -> Strategy:
    signed, bits = _INTS[code]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    small = st.integers(max(low, -2), 70)
    return small | st.sampled_from([low, high]) | st.integers(low, high)


PNG = b"\x89PNG\r\n\x1a\n"
WORDS = st.sampled_from(
    ["user", "system", "assistant", "tool", "text", "image", "image/png", "claude", "kimi_k2", "claude-sonnet-5-5",
     "auto", "none", "any", "local", "cost", "latency", "table", "user_chat", "day", "hour", "label", "uid", "machine",
     "each_user", "group", "alice", "cortex", "2026-11-24", "2026-11-25", "0.10", "1e3", "{}", '{"type": "object"}',
     "aGVsbG8=", "look", "call-1", "[", "null", "\U0010ffff", "\ufdd0\uffff", "\u202e", "%s%n", "'; DROP TABLE x; --"]
)  # fmt: skip
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
HUGE_TEXT = st.builds(
    lambda text, times: text * times, st.sampled_from(["x", "é", "\uffff", "[", '{"a":']), st.integers(300, 70_000)
)
TEXT = st.one_of(WORDS, WORDS, ANY_TEXT, ANY_TEXT, WORDS, HUGE_TEXT)
PATHS = st.sampled_from(["/", "/org/cortexlinux/LLMRouter", "/a/b_1"])
SIGNATURES = st.sampled_from(["", "s", "aa{sv}", "(a{sv}v)"])
DOUBLES = st.sampled_from([0.0, 0.5, 1.0, 2.0, -0.0, 1e-9, 1e308, float("nan"), float("inf"), -1.0]) | st.floats()
_BASIC: dict[str, Strategy] = {
    **{code: integers(code) for code in _INTS},
    "b": st.booleans(),
    "d": DOUBLES,
    "s": TEXT,
    "o": PATHS,
    "g": SIGNATURES,
}
_LEAVES = st.one_of(*(st.builds(Variant, st.just(code), values) for code, values in _BASIC.items()))
_ODD = st.sampled_from(
    [Variant("ay", b"\x89PNG"), Variant("ay", b""), Variant("as", []), Variant("a{ss}", {}), Variant("a{sv}", {}),
     Variant("aa{sv}", [{}]), Variant("a{yy}", {1: 2}), Variant("a{bs}", {True: "x"}), Variant("(s(s))", ["a", ["b"]]),
     Variant("aaaas", [[[["deep"]]]]), Variant("a(sv)", [["x", Variant("u", 1)]]), Variant("ad", [float("nan")])]
)  # fmt: skip


def _nested(depth: int) -> Variant:
    value = Variant("s", "deep")
    for _ in range(depth):
        value = Variant("v", value)
    return value


def _containers(inner: Strategy) -> Strategy:
    tables = st.dictionaries(TEXT, inner, max_size=3)
    return st.one_of(
        st.builds(Variant, st.just("av"), st.lists(inner, max_size=3)),
        st.builds(Variant, st.just("a{sv}"), tables),
        st.builds(Variant, st.just("aa{sv}"), st.lists(tables, max_size=3)),
        st.builds(Variant, st.just("v"), inner),
        st.builds(lambda one, two: Variant("(vv)", [one, two]), inner, inner),
    )


VALUE = st.recursive(_LEAVES | _ODD | st.builds(_nested, st.integers(1, 40)), _containers, max_leaves=4)


def _mostly(right: Strategy, other: Strategy) -> Strategy:
    """`a | b` would weigh each alternative within a and b alike."""
    return st.integers(0, 9).flatmap(lambda dice: other if dice == 0 else right)


def _text(values: Strategy = TEXT) -> Strategy:
    return st.builds(Variant, st.just("s"), values)


def _typed(code: str) -> Strategy:
    return st.builds(Variant, st.just(code), _BASIC[code])


def _table(signature: str, known: dict[str, Strategy], wrong: int) -> Strategy:
    """Dictionaries of some known keys, each `wrong` times in ten with any value at all, and sometimes another key."""
    keys = st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True)

    @st.composite
    def draw_table(draw: st.DrawFn) -> Any:
        table = {key: draw(VALUE if draw(st.integers(0, 9)) < wrong else known[key]) for key in draw(keys)}
        if draw(st.integers(0, 9)) < wrong:
            table[draw(_near(sorted(known)))] = draw(VALUE)
        return table if signature == "a{sv}" else Variant(signature, table)

    return draw_table()


@st.composite
def _near(draw: st.DrawFn, keys: list[str]) -> str:
    """A key with a character too many, too few or another one; or any text."""
    key = draw(st.sampled_from(keys))
    at = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from(string.ascii_letters + "_-. \uffff"))
    changed = st.sampled_from(
        [key[:at] + key[at + 1 :], key[:at] + letter + key[at:], key[:at] + letter + key[at + 1 :]]
    )
    return draw(changed | TEXT)


ID_TEXT = _mostly(st.sampled_from([f"id-{number}" for number in range(20)]), TEXT)
IDS = _text(ID_TEXT)
_STRATEGY = _mostly(st.sampled_from(["table", "cost", "latency", "quality", "balanced"]), TEXT)
LABELS = st.builds(Variant, st.just("a{ss}"), st.dictionaries(TEXT, TEXT, max_size=3))
_NAMES = _text(_mostly(st.sampled_from(["look", "write"]), TEXT))
_OBJECTS = _text(_mostly(st.sampled_from(["{}", '{"type": "object"}']), TEXT))
TOOL = _table("a{sv}", {"name": _NAMES, "description": _text(), "parameters": _OBJECTS}, 2) | st.builds(
    lambda name: {"name": name}, _NAMES
)
TOOL_CALL = _table("a{sv}", {"id": _text(), "name": _NAMES, "arguments": _OBJECTS}, 2)
PART = st.one_of(
    st.builds(lambda text: {"type": Variant("s", "text"), "text": Variant("s", text)}, TEXT),
    st.just({"type": Variant("s", "image"), "media_type": Variant("s", "image/png"), "data": Variant("ay", PNG)}),
    _table("a{sv}", {"type": _text(), "text": _text(), "media_type": _text(), "data": VALUE}, 2),
)
GOOD_MESSAGE = st.builds(lambda text: {"role": Variant("s", "user"), "content": Variant("s", text)}, TEXT)
MESSAGE = _table(
    "a{sv}",
    {
        "role": _text(st.sampled_from(["user", "system", "assistant", "tool"])),
        "content": _text() | st.builds(Variant, st.just("aa{sv}"), st.lists(PART, max_size=3)),
        "tool_calls": st.builds(Variant, st.just("aa{sv}"), st.lists(TOOL_CALL, max_size=2)),
        "tool_call_id": _text(),
        "name": _text(),
    },
    2,
)
MESSAGES = st.one_of(
    st.lists(GOOD_MESSAGE, min_size=1, max_size=1),
    st.lists(st.one_of(GOOD_MESSAGE, MESSAGE), max_size=3),
)
_OPTIONS: dict[str, Strategy] = {
    "provider": _text(_mostly(st.sampled_from(["claude", "kimi_k2"]), TEXT)),
    "model": _text(_mostly(st.sampled_from(["claude-sonnet-5-5", "kimi-k2.6"]), TEXT)),
    "temperature": st.builds(Variant, st.just("d"), _mostly(st.floats(0, 2), DOUBLES)),
    "max_tokens": st.builds(Variant, st.just("i"), _mostly(st.integers(1, 1000), integers("i"))),
    "tools": st.builds(Variant, st.just("aa{sv}"), st.lists(TOOL, max_size=2)),
    "tool_choice": _text(),
    "response_schema": _text(_mostly(st.just('{"type": "object"}'), TEXT)),
    "fallback": _typed("b"),
    "deadline_ms": st.builds(Variant, st.just("i"), _mostly(st.integers(1, 60_000), integers("i"))),
    "max_cost_usd": st.builds(Variant, st.just("d"), _mostly(st.floats(0.1, 1000), DOUBLES)),
    "privacy": _text(_mostly(st.just("any"), TEXT)),
    "request_id": IDS,
    "labels": LABELS,
    "strategy": _text(_STRATEGY),
    "cache": _typed("b"),
    "session": IDS,
    "secrets": _text(st.sampled_from(["off", "warn", "redact", "local"])),
    "headers": st.builds(Variant, st.just("a{ss}"), st.just({"anthropic-beta": "one"})) | LABELS,
}
OPTIONS = st.one_of(
    st.just({}),
    st.builds(lambda text: {"request_id": text}, IDS),
    _table("a{sv}", _OPTIONS, 0),
    _table("a{sv}", _OPTIONS, 1),
)
_TASKS = _mostly(st.sampled_from(["user_chat", "code_generation", "error_debugging", "tool_execution"]), TEXT)
_PREFERRED = st.builds(
    Variant, st.just("a{ss}"), st.dictionaries(_TASKS, _mostly(st.just("kimi_k2"), TEXT), max_size=2)
)
_EXCLUDED = st.builds(Variant, st.just("as"), st.lists(_mostly(st.just("qwen"), TEXT), max_size=2))
_ITEMS = st.tuples(_TASKS, MESSAGES).map(list)
_DAYS = _text(_mostly(st.dates(date(2026, 1, 1), date(2027, 1, 1)).map(str), st.dates().map(str) | TEXT))
_GROUPING = st.sampled_from(["day", "hour", "task_type", "provider", "model", "label", "uid"])
_GROUPS = st.builds(Variant, st.just("as"), st.lists(_mostly(_GROUPING, TEXT), max_size=3))
_USD = _typed("d") | _text(st.sampled_from(["0.10", "5", "1e9", "-1", ""]))
_USERS = _text(_mostly(st.sampled_from(["bob", "nobody", "59002"]), TEXT))

_JSON = st.recursive(
    st.none() | st.booleans() | integers("x") | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
_TURNS = [{"role": "user", "content": "hello"}]
_BODY: dict[str, Strategy] = {
    "model": st.just("claude-sonnet-5-5"),
    "messages": st.just(_TURNS),
    "input": st.just("hello"),
    "max_tokens": st.integers(1, 1000),
    "stream": st.booleans(),
    "tools": st.just([{"name": "look", "input_schema": {"type": "object"}}]),
    "n": st.integers(1, 3),
    "service_tier": st.sampled_from(["auto", "priority"]),
    "system": TEXT,
}


@st.composite
def _body(draw: st.DrawFn) -> str:
    """A vendor's body of some known keys, each twice in ten with any value; seldom no JSON."""
    keys = draw(st.lists(st.sampled_from(sorted(_BODY)), max_size=5, unique=True))
    body = {key: draw(_JSON if draw(st.integers(0, 9)) < 2 else _BODY[key]) for key in keys}
    text: str = draw(_mostly(st.just(json.dumps({"messages": _TURNS, "max_tokens": 9, **body})), TEXT))
    return text


# what stands where the interface file names an argument so; anything else is made from its signature alone
ARGUMENTS: dict[str, Strategy] = {
    "task_type": _TASKS,
    "prompt": TEXT,
    "messages": MESSAGES,
    "options": OPTIONS,
    "format": _mostly(st.sampled_from(["anthropic", "openai", "responses"]), TEXT),
    "body": _body(),
    "requests": st.lists(_ITEMS, max_size=4),
    "request_id": ID_TEXT,
    "score": _mostly(st.floats(0, 1), DOUBLES),
    "details": _table("a{sv}", {"reason": _text(), "labels": LABELS}, 2),
    "filter": _table("a{sv}", {"task_type": _text(_TASKS), "provider": _text()}, 2),
    "query": _table(
        "a{sv}",
        {"since": _DAYS, "until": _DAYS, "group_by": _GROUPS, "label": _text(), "all_users": _typed("b")},
        2,
    ),
    "preferences": _table(
        "a{sv}",
        {
            "providers": _PREFERRED,
            "strategy": _text(_STRATEGY),
            "local_only": st.just(Variant("b", False)),
            "excluded": _EXCLUDED,
        },
        3,
    ),
    "budget": _table(
        "a{sv}",
        {
            "scope": _text(_mostly(st.sampled_from(["machine", "each_user", "user", "group"]), TEXT)),
            "name": _USERS,
            "day_usd": _USD,
            "month_usd": _USD,
            "remove": _typed("b"),
        },
        2,
    ),
}
_BY_SIGNATURE: dict[str, Strategy] = {
    **_BASIC,
    "a{sv}": st.dictionaries(TEXT, VALUE, max_size=3),
    "aa{sv}": st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=3),
}


def _argument(name: str, signature: str) -> Strategy:
    return ARGUMENTS[name] if name in ARGUMENTS else _BY_SIGNATURE[signature]


def _cases(method: Method) -> Strategy:
    arguments = st.tuples(*(_argument(name, signature) for name, signature in method.arguments))
    return st.builds(lambda body: Case(method, list(body)), arguments)


def _with_descriptor(method: Method) -> Strategy:
    """A descriptor where none is expected."""
    body = ["user_chat", [{"role": Variant("s", "user"), "content": Variant("h", 0)}], {}]
    return st.just(Case(method, body, descriptor=True))


METHODS = methods_with_arguments()
CASES = st.one_of(
    *(_cases(method) for method in METHODS),
    _with_descriptor(next(method for method in METHODS if method.name == "CompleteWithOptions")),
)
