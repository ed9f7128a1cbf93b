"""Errors inside a 200: what each form says, its text too, and what only looks like one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.domain.messages import ToolCall, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers.error_forms import error_event, failure_in, failure_in_text
from cortexd.providers.finishing import EmptyAnswer, check_finish, check_substance, said

DETAIL = [{"loc": ["body"], "msg": "m"}]
NO_TEXT = "an error without a text"
SAID: list[tuple[Any, Failure, str]] = [
    ({"error": {"message": "m", "code": 429}}, Failure.RATE_LIMITED, "m"),
    ({"error": "m"}, Failure.SERVER, "m"),
    ({"error": "m", "error_type": "overloaded"}, Failure.OVERLOADED, "m"),
    ({"errors": [{"code": 429, "message": "m"}, {"message": "n"}]}, Failure.RATE_LIMITED, "m"),
    ({"base_resp": {"status_code": 429, "status_msg": "m"}}, Failure.RATE_LIMITED, "m"),
    ({"base_resp": {"status_code": 1004}}, Failure.AUTHENTICATION, "authentication"),
    ({"object": "error", "message": "m"}, Failure.SERVER, "m"),
    ({"object": "error", "type": "overloaded_error"}, Failure.OVERLOADED, "overloaded_error"),
    ({"type": "error", "message": "m"}, Failure.SERVER, "m"),
    ({"type": "error", "code": 429, "message": "m"}, Failure.RATE_LIMITED, "m"),
    ({"type": "error"}, Failure.SERVER, NO_TEXT),
    ({"error_code": 429, "error_msg": "m", "text": "n"}, Failure.RATE_LIMITED, "m"),
    ({"error_code": 429, "text": "m"}, Failure.RATE_LIMITED, "m"),
    ({"detail": "m"}, Failure.SERVER, "m"),
    ({"detail": "m", "status": 503}, Failure.OVERLOADED, "m"),
    ({"detail": DETAIL}, Failure.SERVER, json.dumps(DETAIL)),
    ({"message": "m", "code": "429"}, Failure.RATE_LIMITED, "m"),
    ({"message": "m", "code": 7}, Failure.SERVER, "m"),
    ({"message": "m", "status": 503}, Failure.OVERLOADED, "m"),
    ({"message": "m", "type": "rate_limit_error"}, Failure.RATE_LIMITED, "m"),
    ([{"error": "m"}], Failure.SERVER, "m"),
]
HARMLESS: list[Any] = [
    {},
    {"error": None},
    {"errors": []},
    {"errors": "m"},
    {"base_resp": {"status_code": 0, "status_msg": "success"}},
    {"base_resp": {}},
    {"object": "chat.completion", "type": "message"},
    {"error_code": 0, "error_msg": "m"},
    {"detail": ""},
    {"message": "m"},
    {"message": {"content": "m"}, "code": 7},
    *({"message": "m", "code": code} for code in (0, 200, "0", "200", "Success", "OK", "", 1.5)),
    {"message": "m", "status": "ok"},
    *({"message": "m", "type": kind, "code": 500} for kind in ("ping", "Heartbeat")),
    [{"error": "m"}, {"error": "n"}],
    "m",
    7,
    None,
]


class TestForms:
    @pytest.mark.parametrize("billed", [True, False])
    @pytest.mark.parametrize(("value", "failure", "text"), SAID)
    def test_say_what_failed(self, value: Any, failure: Failure, text: str, billed: bool) -> None:
        """Failure and text, of a value and of its JSON, whether or not a text alone would be one."""
        for alone in (True, False):
            found = failure_in(value, may_have_billed=billed, message_alone=alone)
            assert found is not None
            assert (found.failure, found.message, found.may_have_billed) == (failure, text, billed)
            of_text = failure_in_text(json.dumps(value).encode(), may_have_billed=billed, message_alone=alone)
            assert of_text is not None
            assert (of_text.failure, of_text.message, of_text.may_have_billed) == (failure, text, billed)

    @pytest.mark.parametrize("value", HARMLESS)
    def test_others_say_none(self, value: Any) -> None:
        """Codes of success, pings, and what is no object."""
        assert failure_in(value, may_have_billed=True) is None
        assert failure_in_text(json.dumps(value).encode(), may_have_billed=True) is None

    def test_a_text_alone(self) -> None:
        """Is one where an answer should be, and nowhere else."""
        found = failure_in({"message": "m"}, may_have_billed=False, message_alone=True)
        assert found is not None
        assert (found.failure, found.message, found.may_have_billed) == (Failure.SERVER, "m", False)
        assert failure_in({"message": 7}, may_have_billed=True, message_alone=True) is None
        assert failure_in_text(b'{"message": "m"}', may_have_billed=True, message_alone=True) is not None

    @pytest.mark.parametrize("text", [b"", b"m", b"{", b"[" * 100_000])
    def test_text_that_is_no_json(self, text: bytes) -> None:
        """Says none."""
        assert failure_in_text(text, may_have_billed=True) is None

    @pytest.mark.parametrize(
        ("data", "failure", "text"),
        [
            (b'{"error": {"message": "m", "code": 429}}', Failure.RATE_LIMITED, "m"),
            (b'{"message": "m"}', Failure.SERVER, "m"),
            (b'{"code": 429}', Failure.RATE_LIMITED, "429"),
            (b'"m"', Failure.SERVER, "m"),
            (b"words \xff", Failure.SERVER, "words \ufffd"),
            (b'{"error": "\xff"}', Failure.SERVER, "\ufffd"),
            (b"", Failure.SERVER, NO_TEXT),
        ],
    )
    def test_an_event_of_that_name(self, data: bytes, failure: Failure, text: str) -> None:
        """Is a failure whatever its data, and may have billed."""
        found = error_event(data)
        assert (found.failure, found.message, found.may_have_billed) == (failure, text, True)


class TestEnds:
    @pytest.mark.parametrize("word", [None, 7, "", " ", "null", "None", " NULL "])
    def test_no_reason(self, word: object) -> None:
        """What gateways write where there is none."""
        assert said(word) is None
        check_finish(word)

    def test_a_broken_answer_names_its_reason(self) -> None:
        """The provider's own word is told; the answer may have billed."""
        with pytest.raises(ProviderError) as failed:
            check_finish(" Network_Error ")
        assert "Network_Error" in failed.value.message
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.SERVER, True)

    @pytest.mark.parametrize(("finish", "content"), [("stop", ""), ("tool_calls", ""), ("tool_calls", "hi")])
    def test_an_empty_answer_has_its_usage(self, finish: str, content: str) -> None:
        """It is paid for all the same."""
        with pytest.raises(EmptyAnswer) as failed:
            check_substance(finish, content, (), Usage(5, 3))
        assert failed.value.usage == Usage(5, 3)
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.MALFORMED, True)
        assert failed.value.message

    @pytest.mark.parametrize(
        ("finish", "content", "calls"),
        [("stop", "hi", 0), ("length", "", 0), ("content_filter", "", 0), ("tool_calls", "", 1), ("stop", "", 1)],
    )
    def test_substance(self, finish: str, content: str, calls: int) -> None:
        """Text, a call, or nothing where it was cut or filtered."""
        check_substance(finish, content, (ToolCall("i", "n", "{}"),) * calls, None)
