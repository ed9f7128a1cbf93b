"""The dictionaries of GetUsage, SetPreferences, SetBudget, ReportOutcome and CompleteBatch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.outcomes import Source
from cortexd.errors import InvalidArgument, UnknownProvider
from cortexd.validation import (
    BudgetWish,
    OutcomeWish,
    UsageWish,
    parse_batch_options,
    parse_budget,
    parse_options,
    parse_outcome,
    parse_preferences,
    parse_usage_query,
)

TODAY = date(2026, 11, 24)
PROVIDERS = ("claude", "kimi_k2")
KEYS = ("since", "until", "group_by", "label", "all_users", "providers", "strategy", "local_only", "scope", "name",
        "day_usd", "month_usd", "remove", "reason", "labels", "source", "weight", "parallel", "request_id")  # fmt: skip
WORDS = st.sampled_from(["day", "label", "user", "machine", "cost", "2026-11-24", "9999-12-31", "0.10", "-1", "", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | WORDS, inner, max_size=4),
    max_leaves=6,
)
ANYTHING = VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)


def refusal(parse: Callable[[], object]) -> str:
    """The error's text; empty where there was none. Any error but InvalidArgument is the test's failure."""
    try:
        parse()
    except InvalidArgument as error:
        return str(error)
    return ""


class TestUsage:
    def test_the_last_thirty_days(self) -> None:
        """Both ends included, the user's own, in one sum."""
        assert parse_usage_query({}, TODAY) == UsageWish(date(2026, 10, 26), TODAY)

    def test_all_keys(self) -> None:
        """As documented."""
        query = {"since": "2026-01-01", "until": "2026-01-31", "group_by": ["day", "label"], "label": "project",
                 "all_users": True, "app": "aider"}  # fmt: skip
        assert parse_usage_query(query, TODAY) == UsageWish(
            date(2026, 1, 1), date(2026, 1, 31), ("day", "label"), "project", True, "aider"
        )

    def test_one_end(self) -> None:
        """Thirty days up to `until`; from `since` until today."""
        assert parse_usage_query({"until": "2026-03-30"}, TODAY).since == date(2026, 3, 1)
        assert parse_usage_query({"since": "2026-03-30"}, TODAY).until == TODAY
        assert parse_usage_query({"until": "1970-01-02"}, TODAY).since == date(1970, 1, 1)

    def test_so_many_days(self) -> None:
        """Up to `until` or today, both included."""
        assert parse_usage_query({"days": 1}, TODAY).since == TODAY
        assert parse_usage_query({"days": 31, "until": "2026-03-31"}, TODAY).since == date(2026, 3, 1)

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"days": 2, "since": "2026-01-01"}, r"query\.days: expected either days or since"),
            ({"days": 0}, r"query\.days"),
            ({"days": 3701}, r"query\.days"),
            ({"sinse": "2026-01-01"}, r"query\.sinse: unknown key; did you mean 'since'\?"),
            ({"since": "yesterday"}, r"query\.since: expected a day such as 2026-11-24, got 'yesterday'"),
            ({"since": "20260101"}, r"query\.since"),
            ({"since": "2026-W01-1"}, r"query\.since"),
            ({"since": "2026-02-30"}, r"query\.since"),
            ({"since": "٢٠٢٦-01-01"}, r"query\.since"),
            ({"until": "9999-12-31"}, r"query\.until"),
            ({"since": 20260101}, r"query\.since"),
            ({"since": "2026-11-25"}, r"query\.until: 2026-11-24 is before query\.since \(2026-11-25\)"),
            ({"since": "2016-01-01"}, r"query\.since: expected at most 3700 days at once, got 3981"),
            ({"group_by": "day"}, r"query\.group_by: expected a list"),
            ({"group_by": ["week"]}, r"query\.group_by\[0\]: expected one of day, hour"),
            ({"group_by": ["day", "day"]}, r"query\.group_by: expected each of them once"),
            ({"group_by": ["day"] * 1_000_000}, r"query\.group_by: expected each"),
            ({"group_by": ["label"]}, r"query\.label: expected the label's key together with group_by label"),
            ({"label": "project"}, r"query\.label: expected"),
            ({"label": "a b", "group_by": ["label"]}, r"query\.label: expected text that matches"),
            ({"all_users": 1}, r"query\.all_users: expected true or false"),
            ([], "query: expected a dictionary"),
        ],
    )
    def test_errors_name_the_key(self, query: Any, words: str) -> None:
        """And what was expected there."""
        with pytest.raises(InvalidArgument, match=words):
            parse_usage_query(query, TODAY)

    @given(st.dates(date(1960, 1, 1), date(3010, 1, 1)), st.dates(date(1960, 1, 1), date(3010, 1, 1)))
    def test_any_two_days(self, since: date, until: date) -> None:
        """Either a span within the bound, the days as given, or an error; a day more than `until` can be counted."""
        try:
            wish = parse_usage_query({"since": since.isoformat(), "until": until.isoformat()}, TODAY)
        except InvalidArgument:
            wide = not timedelta(0) <= until - since < timedelta(days=3700)
            assert wide or since.year < 1970 or until.year > 2999
            return
        assert (wish.since, wish.until) == (since, until)
        assert (wish.until + timedelta(days=1) - wish.since).days <= 3700


class TestPreferences:
    def test_what_is_set_and_nothing_else(self) -> None:
        """Plain values, fit for JSON; empty for none."""
        wish = {"providers": {"user_chat": "kimi_k2"}, "strategy": "cost", "local_only": False}
        assert parse_preferences(wish, PROVIDERS) == wish
        assert type(parse_preferences(wish, PROVIDERS)["strategy"]) is str
        assert parse_preferences({}, PROVIDERS) == {}
        assert parse_preferences({"providers": {}}, PROVIDERS) == {}

    @pytest.mark.parametrize(
        ("wish", "words"),
        [
            ({"provider": {}}, r"preferences\.provider: unknown key; did you mean 'providers'"),
            (
                {"providers": {"user_chatt": "claude"}},
                r"preferences\.providers\.user_chatt: .*did you mean 'user_chat'",
            ),
            ({"providers": {"user_chat": 1}}, r"preferences\.providers\.user_chat: expected text"),
            ({"providers": "claude"}, r"preferences\.providers: expected a dictionary"),
            (
                {"strategy": "random"},
                r"preferences\.strategy: expected one of table, .*, learned, got 'random'",
            ),
            ({"local_only": "yes"}, r"preferences\.local_only: expected true or false"),
        ],
    )
    def test_errors_name_the_key(self, wish: Any, words: str) -> None:
        """And what was expected there."""
        with pytest.raises(InvalidArgument, match=words):
            parse_preferences(wish, PROVIDERS)

    def test_an_unknown_provider(self) -> None:
        """Its own error, with those that there are."""
        with pytest.raises(
            UnknownProvider, match=r"preferences\.providers\.user_chat: .*'kimi'; one of claude, kimi_k2"
        ):
            parse_preferences({"providers": {"user_chat": "kimi"}}, PROVIDERS)


class TestBudget:
    def test_limits(self) -> None:
        """As a number, or exactly as text; what is absent stays as it is."""
        assert parse_budget({"scope": "machine", "day_usd": 0.1}) == BudgetWish("machine", "", 100_000_000)
        wish = parse_budget({"scope": "user", "name": "ada", "day_usd": "0.100000001", "month_usd": 0})
        assert wish == BudgetWish("user", "ada", 100_000_001, 0)
        assert parse_budget({"scope": "group", "name": "cortex", "remove": True}) == BudgetWish(
            "group", "cortex", remove=True
        )
        assert parse_budget({"scope": "each_user", "month_usd": "1", "remove": False}).month_nano == 10**9

    @pytest.mark.parametrize(
        ("budget", "words"),
        [
            ({"day_usd": 1.0}, r"budget\.scope: expected one of machine, each_user, user, group, app, got nothing"),
            ({"scope": "me", "day_usd": 1.0}, r"budget\.scope: expected one of"),
            ({"scope": "user", "day_usd": 1.0}, r"budget\.name: expected with scope user or group or app and no other"),
            ({"scope": "machine", "name": "x", "day_usd": 1.0}, r"budget\.name: expected with scope"),
            ({"scope": "user", "name": "", "day_usd": 1.0}, r"budget\.name: expected 1 to 256 characters"),
            ({"scope": "machine"}, "budget: expected day_usd or month_usd, or remove = true"),
            ({"scope": "machine", "remove": False}, "budget: expected day_usd"),
            ({"scope": "machine", "remove": True, "day_usd": 1.0}, r"budget\.remove: expected no day_usd"),
            ({"scope": "machine", "day_usd": -0.01}, r"budget\.day_usd: expected a number from 0"),
            ({"scope": "machine", "day_usd": float("nan")}, r"budget\.day_usd"),
            ({"scope": "machine", "day_usd": True}, r"budget\.day_usd"),
            ({"scope": "machine", "month_usd": "1e3"}, r'budget\.month_usd: expected dollars such as "0.10"'),
            ({"scope": "machine", "month_usd": "-1"}, r"budget\.month_usd"),
            ({"scope": "machine", "month_usd": "٣"}, r"budget\.month_usd"),
            ({"scope": "machine", "month_usd": "0.0000000001"}, r"budget\.month_usd"),
            ({"scope": "machine", "days_usd": 1}, r"budget\.days_usd: unknown key; did you mean 'day_usd'"),
        ],
    )
    def test_errors_name_the_key(self, budget: Any, words: str) -> None:
        """And what was expected there."""
        with pytest.raises(InvalidArgument, match=words):
            parse_budget(budget)

    @given(st.decimals(0, 999_999_999, places=9))
    def test_text_is_exact(self, usd: Any) -> None:
        """To the nano-dollar, and within 64 bits."""
        nano = parse_budget({"scope": "machine", "day_usd": f"{usd:f}"}).day_nano
        assert nano == int(usd * 10**9)
        assert nano < 2**63


class TestOutcome:
    def test_score_reason_and_labels(self) -> None:
        """Details may be empty."""
        assert parse_outcome(1, {}) == OutcomeWish(1.0, Source.USER, 1.0, "", {})
        wish = parse_outcome(0.5, {"reason": "slow", "labels": {"a": "b"}, "source": "test", "weight": 0.25})
        assert wish == OutcomeWish(0.5, Source.TEST, 0.25, "slow", {"a": "b"})
        assert parse_outcome(0, {"reason": ""}) == OutcomeWish(0.0)

    @pytest.mark.parametrize(
        ("score", "details", "words"),
        [
            (1.1, {}, "score: expected a number from 0 to 1, got 1.1"),
            (float("nan"), {}, "score"),
            (True, {}, "score"),
            (1, {"reason": "x" * 257}, r"details\.reason: expected 1 to 256 characters"),
            (1, {"labels": {"a": 1}}, r"details\.labels\.a: expected text"),
            (1, {"note": "x"}, r"details\.note: unknown key"),
            (1, {"source": "auto"}, r"details\.source: expected one of user, test, program, judge, got 'auto'"),
            (1, {"source": "nobody"}, r"details\.source"),
            (1, {"source": ["user"]}, r"details\.source"),
            (1, {"weight": 1.5}, r"details\.weight: expected a number from 0 to 1"),
            (1, {"weight": -0.5}, r"details\.weight"),
        ],
    )
    def test_errors_name_the_key(self, score: Any, details: Any, words: str) -> None:
        """And what was expected there."""
        with pytest.raises(InvalidArgument, match=words):
            parse_outcome(score, details)


class TestBatch:
    def test_parallel_apart_from_the_rest(self) -> None:
        """Eight at a time where absent; the caller's dictionary stays as it is."""
        given_options = {"parallel": 3, "max_tokens": 5, "request_id": "x" * 57}
        assert parse_batch_options(given_options) == (3, {"max_tokens": 5, "request_id": "x" * 57})
        assert given_options["parallel"] == 3
        assert parse_batch_options({}) == (8, {})

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"parallel": 0}, r"options\.parallel: expected a whole number from 1 to 64, got 0"),
            ({"parallel": 65}, r"options\.parallel"),
            ({"parallel": True}, r"options\.parallel"),
            ({"request_id": "x" * 58}, r"options\.request_id: expected at most 57 characters in a batch, got 58"),
            ("x", "options: expected a dictionary"),
        ],
    )
    def test_errors_name_the_option(self, options: Any, words: str) -> None:
        """And what was expected there."""
        with pytest.raises(InvalidArgument, match=words):
            parse_batch_options(options)

    def test_the_longest_id_leaves_room_for_the_number(self) -> None:
        """Number 999,999 of a batch still has a valid id."""
        assert parse_options({"request_id": f"{'x' * 57}.999999"}).request_id


class TestAnything:
    @given(ANYTHING)
    def test_is_parsed_or_refused(self, value: Any) -> None:
        """Whatever is sent, each parser gives a structure or an InvalidArgument of bounded length."""
        for parse in (
            lambda: parse_usage_query(value, TODAY),
            lambda: parse_preferences(value, PROVIDERS),
            lambda: parse_budget(value),
            lambda: parse_outcome(value, value),
            lambda: parse_outcome(0.5, value),
            lambda: parse_batch_options(value),
        ):
            words = refusal(parse)
            assert len(words.encode()) < 1000
