"""What the outcomes of one request say together, and what an answer itself tells."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.access import OutcomeRate
from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import load_config
from cortexd.config.outcomes import AutomaticSettings, SourceWeights
from cortexd.domain.messages import Options, Tool, ToolCall
from cortexd.domain.outcomes import MOST_WEIGHT, NOTHING, REPORTED, Outcome, Source, combined
from cortexd.errors import RateLimited
from cortexd.requests.conforming import calls_known_tools, keeps_to_schema

UNIT = st.floats(0, 1)
OUTCOMES = st.lists(st.builds(Outcome, UNIT, st.floats(0, MOST_WEIGHT)), max_size=5)


class TestCombined:
    """Several sources on one request."""

    @given(OUTCOMES)
    def test_is_a_bounded_mean(self, outcomes: list[Outcome]) -> None:
        """The score lies between theirs, the weight between the largest and the most that a request counts."""
        together = combined(outcomes)
        telling = [one for one in outcomes if one.weight]
        if not telling:
            assert together == NOTHING
            return
        assert min(one.score for one in telling) - 1e-9 <= together.score <= max(one.score for one in telling) + 1e-9
        assert max(one.weight for one in telling) <= together.weight <= MOST_WEIGHT

    @given(OUTCOMES.filter(lambda outcomes: len(outcomes) < 5))
    def test_their_order_does_not_count(self, outcomes: list[Outcome]) -> None:
        """Nor does it when a report comes late."""
        assert len({combined(order) for order in permutations(outcomes)}) == 1

    @given(st.builds(Outcome, UNIT, st.floats(0.001, MOST_WEIGHT)))
    def test_one_alone_is_itself(self, outcome: Outcome) -> None:
        """With a second that weighs nothing too."""
        for outcomes in ([outcome], [outcome, Outcome(0.5, 0)]):
            together = combined(outcomes)
            assert (together.score, together.weight) == pytest.approx((outcome.score, outcome.weight))

    @given(OUTCOMES, st.builds(Outcome, UNIT, st.floats(0.001, MOST_WEIGHT)))
    def test_another_draws_it_to_itself(self, outcomes: list[Outcome], another: Outcome) -> None:
        """And never makes it count for less."""
        before, after = combined(outcomes), combined([*outcomes, another])
        assert after.weight >= before.weight
        assert not before.weight or abs(after.score - another.score) <= abs(before.score - another.score) + 1e-9

    def test_a_test_outweighs_a_thumb(self) -> None:
        """In the order of how hard a source is to please by chance; the daemon's own sight counts least."""
        weights = SourceWeights()
        ordered = [Source.TEST, Source.PROGRAM, Source.USER, Source.JUDGE, Source.AUTO]
        figures = [getattr(weights, source.value) for source in ordered]
        assert set(ordered) == set(Source) == {*REPORTED, Source.AUTO}
        assert figures == sorted(figures, reverse=True)
        assert len(set(figures)) == len(figures)
        both = combined([Outcome(1.0, weights.test), Outcome(0.0, weights.user)])
        assert both.score > 0.5


SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "size": {"type": ["integer", "null"]},
        "kind": {"enum": ["a", 1, None]},
        "fixed": {"const": True},
        "rows": {"type": "array", "items": {"type": "number"}},
    },
}


class TestSchema:
    """What an answer contradicts of the schema that it was asked for."""

    @pytest.mark.parametrize(
        "content",
        [
            '{"name": "x"}',
            '{"name": "x", "size": 3.0, "kind": 1, "fixed": true, "rows": [1, 2.5]}',
            '{"name": "x", "size": null, "kind": null, "other": [{}]}',
        ],
    )
    def test_kept(self, content: str) -> None:
        """Other keys may be there."""
        assert keeps_to_schema(content, json.dumps(SCHEMA)) is True

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "Here you are: {}",
            '{"name": "x"',
            "[]",
            "{}",
            '{"name": 1}',
            '{"name": "x", "size": 1.5}',
            '{"name": "x", "size": true}',
            '{"name": "x", "kind": "b"}',
            '{"name": "x", "kind": true}',
            '{"name": "x", "fixed": 1}',
            '{"name": "x", "rows": [1, "2"]}',
            '{"name": "x", "rows": {}}',
        ],
    )
    def test_contradicted(self, content: str) -> None:
        """No JSON, or at odds with a keyword that was looked at."""
        assert keeps_to_schema(content, json.dumps(SCHEMA)) is False

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "object", "properties": {"a": {"$ref": "#/x"}, "b": {"type": "decimal"}, "c": {"type": []}}},
            {"type": "object", "anyOf": [{"required": ["z"]}], "properties": [], "required": "a", "enum": {}},
            {"type": "object", "properties": {"a": True, "b": {"items": False}}, "required": [1, {}]},
        ],
    )
    def test_what_is_not_looked_at_contradicts_nothing(self, schema: object) -> None:
        """Other keywords, and those that are none."""
        assert keeps_to_schema('{"a": 1, "b": [2], "c": ""}', json.dumps(schema)) is True

    def test_too_much_is_not_looked_at(self) -> None:
        """Neither a long answer nor a schema with a choice for each of many values; nobody knows then."""
        schema = json.dumps({"type": "object", "properties": {"a": {"items": {"enum": list(range(1000))}}}})
        assert keeps_to_schema(json.dumps({"a": [999] * 100}), schema) is None
        assert keeps_to_schema(json.dumps({"a": [999] * 5}), schema) is True
        assert keeps_to_schema('"' + "x" * 200_000 + '"', "{}") is None


class TestToolCalls:
    """Whether calls can be carried out as they are."""

    OPTIONS = Options(tools=(Tool("look", parameters='{"type": "object", "required": ["path"]}'), Tool("stop")))

    @pytest.mark.parametrize(
        ("calls", "known"),
        [
            ((), None),
            ((ToolCall("1", "stop", "{}"),), True),
            ((ToolCall("1", "look", '{"path": "/"}'), ToolCall("2", "stop", "{}")), True),
            ((ToolCall("1", "look", "{}"),), False),
            ((ToolCall("1", "look", '{"path": '),), False),
            ((ToolCall("1", "stop", "[]"),), False),
            ((ToolCall("1", "stop", "{}"), ToolCall("2", "leave", "{}")), False),
            ((ToolCall("1", "stop", '{"a": "' + "x" * 200_000 + '"}'),), None),
        ],
    )
    def test_names_and_arguments(self, calls: tuple[ToolCall, ...], known: bool | None) -> None:
        """Each names a tool that there is, with arguments that are JSON and keep to its parameters."""
        assert calls_known_tools(calls, self.OPTIONS) is known


class TestSettings:
    """What the configuration says of outcomes."""

    def test_are_shown_as_they_were_said(self, tmp_path: Path) -> None:
        """True is all of a part, files merge key by key, and what `cortexctl config show` prints means the same."""
        first, second = tmp_path / "config.toml", tmp_path / "conf.d" / "1.toml"
        second.parent.mkdir()
        first.write_text(
            "[routing.learned.sources]\nuser = 0.5\ntest = 1\n[routing.learned.automatic]\ncut_off = true\n"
        )
        second.write_text("[routing.learned.sources]\nuser = 0\n[routing.learned.automatic]\nrepeated = 0.5\n")
        read = load_config(first).routing.learned
        assert read.sources == SourceWeights(test=1.0, user=0.0)
        assert read.automatic == AutomaticSettings(cut_off=1.0, repeated=0.5)
        assert read.automatic.any
        assert not AutomaticSettings().any
        shown = tmp_path / "shown.toml"
        shown.write_text(settings_as_toml(load_config(first)))
        assert load_config(shown).routing.learned == read


class TestRate:
    """How many reports of one user are taken."""

    def test_ten_minutes_worth_at_once(self) -> None:
        """Then one each time that its turn has come, with the wait in the error; others are not concerned."""
        now = [0]
        rate = OutcomeRate(lambda: now[0])
        for _ in range(20):
            rate.take(1, 2)
        for wait_ms in (30_000, 29_999):
            with pytest.raises(RateLimited, match=r"max_outcomes_per_minute_per_user") as told:
                rate.take(1, 2)
            assert told.value.details["retry_after_ms"] == wait_ms
            now[0] += 1_000_000
        rate.take(2, 2)
        rate.take(1, 0)
