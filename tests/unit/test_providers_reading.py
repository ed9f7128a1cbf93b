"""What comes back, before any network: events from bytes, error texts, retry times, keys hidden, proxy exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.config.addresses import bypasses
from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.failures import (
    Errors,
    error_object,
    failure_of_status,
    map_exceptions,
    retry_after_ms,
    scrub,
    upstream_text,
    without_account,
)
from cortexd.providers.sse import MAX_EVENT_BYTES, EventSplitter

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class TestEvents:
    @given(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).map(str.strip).filter(bool)),
        st.sampled_from(["\n", "\r\n"]),
        st.lists(st.integers(1, 30)),
    )
    def test_any_cut_gives_the_same_events(self, texts: list[str], end: str, cuts: list[int]) -> None:
        """However the bytes arrive, the same events come out."""
        stream = "".join(f"event: x{end}: a comment{end}data: {text}{end}{end}" for text in texts).encode()
        splitter = EventSplitter()
        found: list[tuple[str, bytes]] = []
        for cut in [*cuts, len(stream)]:
            found += splitter.feed(stream[:cut])
            stream = stream[cut:]
        expected = [data for text in texts if (data := text.encode().strip())]
        assert found == [("x", data) for data in expected]

    def test_data_over_several_lines(self) -> None:
        """Data lines of one event are joined by a line feed."""
        assert list(EventSplitter().feed(b"data: a\ndata:b\n\n")) == [("", b"a\nb")]

    @pytest.mark.parametrize("piece", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
    def test_an_endless_event(self, piece: bytes) -> None:
        """An event that grows beyond a megabyte, in one line or in many, is given up."""
        splitter = EventSplitter()
        most = 2 * MAX_EVENT_BYTES // 1000
        with pytest.raises(ProviderError):
            [list(splitter.feed(piece)) for _ in range(most)]


def collect(*events: Mapping[str, object], max_bytes: int = 1000) -> EventCollector:
    collector = EventCollector("asked", max_bytes)
    for event in events:
        collector.feed(json.dumps(event).encode())
    return collector


START = {"type": "message_start", "message": {"content": [], "model": "m", "usage": {"input_tokens": 5}}}
WHY = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
STOP = {"type": "message_stop"}


def block(index: int, kind: str, *deltas: dict[str, str], **fields: object) -> list[dict[str, object]]:
    start = {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}
    return [start, *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)]


class TestCollector:
    def test_interleaved_blocks(self) -> None:
        """Blocks come out in the order in which they began, with pings and unknown events passed over."""
        first = block(0, "text", {"type": "text_delta", "text": "b"}, text="a")
        tool = block(1, "tool_use", {"type": "input_json_delta", "partial_json": '{"x":'}, id="i", name="n", input={})
        more = {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}}
        late = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "c"}}
        answer = collect(START, {"type": "ping"}, *first, *tool, {"type": "new"}, more, late, WHY, STOP).answer()
        assert (answer.content, answer.tool_calls[0].arguments, answer.model) == ("abc", '{"x": 1}', "m")

    def test_usage_grows(self) -> None:
        """Later usage replaces earlier figures one by one; null replaces nothing."""
        change = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": None, "output_tokens": 3}}
        usage = collect(START, *block(0, "text", {"text": "a"}), WHY, change, STOP).answer().usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (5, 3)

    def test_arguments_that_were_cut_off(self) -> None:
        """A call that the length limit cut off is none."""
        tool = block(0, "tool_use", {"type": "input_json_delta", "partial_json": '{"x":'}, id="i", name="n")
        end = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}}
        answer = collect(START, *tool, end, STOP).answer()
        assert (answer.tool_calls, answer.finish_reason) == ((), "length")

    def test_an_end_too_soon(self) -> None:
        """A stream without its end was cut off, and may have billed."""
        with pytest.raises(ProviderError) as failed:
            collect(START).answer()
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.CONNECTION, True)

    def test_an_error_event(self) -> None:
        """An error in the stream is classified by its type, and may have billed."""
        with pytest.raises(ProviderError) as failed:
            collect(START, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.OVERLOADED, True)

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "content_block_delta", "index": 7, "delta": {"text": "x"}},
            {"type": "content_block_delta", "index": "0", "delta": {"text": "x"}},
            {"type": "message_delta", "delta": []},
            {"type": 7},
            {"delta": {"text": "x"}},
            {},
        ],
    )
    def test_events_out_of_shape(self, event: dict[str, object]) -> None:
        """An event that belongs nowhere is a malformed answer."""
        with pytest.raises(ProviderError) as failed:
            collect(START, event)
        assert failed.value.failure is Failure.MALFORMED

    def test_too_many_blocks(self) -> None:
        """The number of blocks is bounded, empty ones too."""
        with pytest.raises(ProviderError):
            collect(START, *(event for index in range(5000) for event in block(index, "text")))

    def test_too_much_text(self) -> None:
        """The text is bounded in bytes, whatever the size of its pieces."""
        pieces = [{"type": "text_delta", "text": "ü" * 10}] * 6
        with pytest.raises(ProviderError):
            collect(START, *block(0, "text", *pieces), max_bytes=100)


class TestErrorTexts:
    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ('{"error": {"message": "m", "type": "t"}}', "m"),
            ('{"type": "error", "error": {"message": "m"}}', "m"),
            ('{"error": "m"}', "m"),
            ('{"message": "m"}', "m"),
            ('{"detail": "m"}', "m"),
            ('{"error": {"message": 7}}', ""),
            ('{"other": 7}', ""),
            ("[1]", ""),
            ("plain words", "plain words"),
            ("<html>page</html>", ""),
            ('{"error": {"mess', ""),
            ("", ""),
        ],
    )
    def test_the_message_of_a_body(self, body: str, text: str) -> None:
        """The vendors' and the usual servers' messages are found; pages and fragments are not shown."""
        assert upstream_text(body.encode()) == text

    @pytest.mark.parametrize(
        ("error", "failure"),
        [
            ({"type": "rate_limit_error", "message": "m"}, Failure.RATE_LIMITED),
            ({"code": "invalid_api_key", "type": "invalid_request_error", "message": "m"}, Failure.AUTHENTICATION),
            ({"code": 429, "message": "m"}, Failure.RATE_LIMITED),
            ({"code": 12, "message": "m"}, Failure.SERVER),
            ({"type": "something_new", "message": "m"}, Failure.SERVER),
            ("m", Failure.SERVER),
            ({}, Failure.SERVER),
            ([], Failure.SERVER),
        ],
    )
    def test_an_error_object(self, error: object, failure: Failure) -> None:
        """Without a status the error's own words decide; unknown ones are the server's failure."""
        found = error_object(error, may_have_billed=False)
        assert found.failure is failure
        assert found.message

    @given(st.text(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8))
    def test_no_secret_survives(self, text: str, secret: str) -> None:
        """Whatever surrounds a secret, it is gone, and the rest is bounded."""
        shown = scrub(f"{text}{secret}{text}", [secret])
        assert len(shown) <= 500
        assert secret not in shown

    def test_a_secret_that_was_cut_off(self) -> None:
        """A text that was cut in the middle of a secret shows no part of it either."""
        secret = "0123456789" * 20
        assert "01234" not in scrub(error_object(f"{secret} " * 50, may_have_billed=True).message, [secret])
        assert "01234" not in scrub(f"{secret} " * 3 + secret[:150], [secret])

    @pytest.mark.parametrize("word", ["task-force-alpha", "risk-averse-people", "monkey-business", "keyboard"])
    def test_ordinary_words_stay(self, word: str) -> None:
        """Words that merely contain such letters are left alone."""
        assert scrub(word, []) == word

    def test_every_status_is_some_failure(self) -> None:
        """No status is without a failure, and only 5xx are the server's own."""
        own = {status for status in range(300, 600) if failure_of_status(status) is Failure.SERVER}
        assert own == set(range(500, 600)) - {503, 529}


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({}, None),
            ({"retry-after": "2"}, 2_000),
            ({"retry-after": "0.25"}, 250),
            ({"retry-after": "-1"}, 0),
            ({"retry-after": "inf"}, 86_400_000),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "soon"}, None),
            ({"retry-after": ""}, None),
            ({"retry-after-ms": "17.9"}, 17),
            ({"retry-after-ms": "x", "retry-after": "3"}, 3_000),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30_000),
            ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0),
            ({"retry-after": "Mon, 23 Nov 2099 12:00:00 GMT"}, 86_400_000),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, 30_000),
            ({"retry-after": "Mon, 23 Nov 2026 14:00:30 GMT", "date": "Mon, 23 Nov 2026 14:00:00 GMT"}, 30_000),
            ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}, 30_000),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "today"}, 30_000),
            ({"retry-after": "2", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}, 2_000),
        ],
    )
    def test_forms(self, headers: dict[str, str], wait: int | None) -> None:
        """Seconds, milliseconds and dates by the server's clock, bounded to a day; what is none of these is no wait."""
        assert retry_after_ms(headers, NOW) == wait


class TestMapping:
    def test_the_first_row_that_fits(self) -> None:
        """The first type that fits makes the error; others pass through."""
        table: Errors = {
            KeyError: lambda error: ProviderError(Failure.SERVER, f"key {error}"),
            LookupError: lambda _error: ProviderError(Failure.TIMEOUT, "lookup"),
        }
        with pytest.raises(ProviderError, match="key 'x'"), map_exceptions(table):
            raise KeyError("x")
        with pytest.raises(ProviderError, match="lookup"), map_exceptions(table):
            raise IndexError
        with pytest.raises(TypeError), map_exceptions(table):
            raise TypeError


class TestNoProxy:
    @pytest.mark.parametrize(
        ("host", "entry", "direct"),
        [
            ("api.example.com", "example.com", True),
            ("api.example.com", ".example.com", True),
            ("api.example.com", "*.example.com", True),
            ("API.example.com", "Example.COM", True),
            ("badexample.com", "example.com", False),
            ("example.com.evil.org", "example.com", False),
            ("10.1.2.3", "10.0.0.0/8", True),
            ("11.1.2.3", "10.0.0.0/8", False),
            ("10.1.2.3", "10.1.2.3", True),
            ("::1", "[::1]", True),
            ("::1", "10.0.0.0/8", False),
            ("anything", "*", True),
            ("anything", "", False),
            ("anything", " anything ", True),
        ],
    )
    def test_entries(self, host: str, entry: str, direct: bool) -> None:
        """Domains cover what is below them, networks their addresses, and nothing covers a look-alike."""
        assert bypasses(host, [entry]) is direct


class TestWithoutAccount:
    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("Connection timeout to host http://llm.example:8000/v1/chat", "Connection timeout to host •••"),
            ("connect to llm.example:443 ssl:default [('10.1.2.3', 443)]", "connect to ••• ssl:default [('•••)]"),
            ("to ::1:80 [('::1', 80, 0, 0)] or 10.0.0.1:9.", "to ••• [('•••)] or •••."),
            ("organization org-1a2b3c, team_id 9", "organization •••, team_id 9"),
            ("credits: 12.50 CNY or $3", "credits: ••• or •••"),
            ("of 0b5a1b3e-1111-2222-3333-444455556666", "of •••"),
            ("sk-…abcd, ending in wxyz", "•••, ending in•••"),
        ],
    )
    def test_what_is_the_operators_is_hidden(self, said: str, told: str) -> None:
        """Ids, money, addresses of people and of machines."""
        assert without_account(said, ["llm.example"]) == told

    @pytest.mark.parametrize(
        "text",
        [
            "HTTP 529: Overloaded",
            "model m-1.5 crashed at step 12: retry in 3.5 s, at 12:30:15",
            "see https://platform.openai.com/account/api-keys",
            "messages.0.content: user_message and org-wide are no fields; std::vector::at",
        ],
    )
    def test_other_words_stay(self, text: str) -> None:
        """What helps the caller is left as it is."""
        assert without_account(text, ["llm.example"]) == text
