"""Bodies that are passed on as they are, but for the model."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.errors import InvalidArgument
from cortexd.formats import decoded, rewritten
from cortexd.formats.raw import DECIDING

SPACES = st.text(" \t\n\r", max_size=3)
NUMBERS = st.sampled_from(["0", "-0", "1.0e2", "1E+2", "-12.50", "100", "2e-3", "12345678901234567890"])
LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# a word that decides is refused in another case: TestRewritten has a test of that
OWN_KEYS = LETTERS.filter(lambda key: key in DECIDING or key.casefold() not in DECIDING)
KEYS = st.sampled_from(["model", "stream_options", "include_usage", "x", "mod\\el", "a:b", '"', "é"]) | OWN_KEYS


def escaped(text: str) -> str:
    """A JSON string without one letter as itself."""
    units = text.encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"'


def written(letters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A JSON string however it may be written."""
    ways = st.sampled_from([escaped, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
    return st.builds(lambda text, way: way(text), letters, ways)


def lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.builds("{}{}{}".format, SPACES, inner, SPACES), max_size=3).map(
        lambda found: f"[{','.join(found)}]"
    )


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """Spaces wherever there may be some; each key once."""
    members = []
    for key in draw(st.lists(KEYS, unique=True, max_size=5)):
        around = [draw(SPACES) for _ in range(4)]
        members.append(f"{around[0]}{draw(written(st.just(key)))}{around[1]}:{around[2]}{draw(inner)}{around[3]}")
    return "{" + ",".join(members) + "}"


VALUES = st.recursive(
    st.sampled_from(["null", "true", "false", '"\\ud83d\\ude00"']) | NUMBERS | written(LETTERS),
    lambda inner: lists(inner) | objects(inner),
    max_leaves=8,
)
BODIES = st.builds(lambda before, body, after: f"{before}{body}{after}".encode(), SPACES, objects(VALUES), SPACES)

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


def raw(body: bytes) -> dict[str, bytes]:
    return {key: bytes(value) for key, value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}


class TestRewritten:
    @given(BODIES, LETTERS)
    def test_only_the_model(self, body: bytes, model: str) -> None:
        """Every other value keeps its bytes, in its place; what was said before and after it as well."""
        told = rewritten(body, model)
        assert json.loads(told) == json.loads(body) | {"model": model}
        assert {**raw(told), "model": b""} == {**raw(body), "model": b""}
        spent = msgspec.json.encode(model)
        assert len(told) - len(body) in {len(spent) - len(raw(body).get("model", b"")), len(spent) + 8, len(spent) + 9}

    @given(BODIES)
    def test_a_model_that_stands_there_changes_nothing(self, body: bytes) -> None:
        """Not a byte of the body."""
        once = rewritten(body, "m")
        assert rewritten(once, "m") == once

    @given(BODIES)
    def test_counted(self, body: bytes) -> None:
        """The usage is asked for beside what else the program wants of its stream, and all others keep their bytes."""
        wanted = raw(body).get("stream_options", b"{}")
        if not wanted.startswith(b"{") and wanted != b"null":
            with pytest.raises(InvalidArgument):
                rewritten(body, "m", counted=True)
            return
        told = raw(rewritten(body, "m", counted=True))
        options = raw({b"null": b"{}"}.get(wanted, wanted))
        assert {**raw(told.pop("stream_options")), "include_usage": b""} == {**options, "include_usage": b""}
        assert json.loads(rewritten(body, "m", counted=True))["stream_options"]["include_usage"] is True
        kept = {key: value for key, value in raw(body).items() if key not in ("model", "stream_options")}
        assert told == {**kept, "model": b'"m"'}

    @given(BODIES, st.data())
    def test_a_key_that_stands_twice_is_refused(self, body: bytes, data: st.DataObject) -> None:
        """Wherever it stands, whatever its values, however it is written."""
        members = raw(body)
        if not members:
            return
        again = data.draw(written(st.sampled_from(sorted(members)))).encode() + b":"
        key = json.loads(again[:-1])
        value = data.draw(st.sampled_from([members[key], b"1", b"{}"]))
        begins = body.index(b"{") + 1
        twice = data.draw(
            st.sampled_from(
                [
                    body[:begins] + again + value + b"," + body[begins:],
                    body[: body.rindex(b"}")] + b"," + again + value + body[body.rindex(b"}") :],
                ]
            )
        )
        with pytest.raises(InvalidArgument):
            rewritten(twice, "m")

    @pytest.mark.parametrize("key", ["Model", "MAX_TOKENS", "ſtream", "\\u004e"])
    @pytest.mark.parametrize("also", [b"", b'"model": "a", "max_tokens": 1, "stream": false, "n": 1, '])
    def test_a_word_that_decides_has_one_case(self, key: str, also: bytes) -> None:
        """Beside the usual one or alone: where a vendor's parser takes any, the last one would count."""
        with pytest.raises(InvalidArgument):
            rewritten(b'{%s"%s": 1}' % (also, key.encode()), "m")

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"1", b"{", b'{"a":1}}', b'{"a":1,}', b"{a:1}", b'{"\xff":1}', b"null", DEEP]
    )
    def test_what_is_no_object(self, body: bytes) -> None:
        """Is refused, by both who read it."""
        for read in (decoded, lambda one: rewritten(one, "m")):
            with pytest.raises(InvalidArgument):
                read(body)

    def test_too_many_keys(self) -> None:
        """No program sends so many, and looking at each takes time."""
        with pytest.raises(InvalidArgument):
            rewritten(json.dumps(dict.fromkeys(map(str, range(1001)))).encode(), "m")
