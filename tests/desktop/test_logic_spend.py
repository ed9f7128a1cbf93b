"""Spend in bars, budgets as rings and the month's projection, without a bus or a screen."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from cortex_llm_applet.logic.amounts import MISSING
from cortex_llm_applet.logic.figures import Budget
from cortex_llm_applet.logic.projection import last_day, pace_of, projection_of
from cortex_llm_applet.logic.rings import month_lines, ring_of, rings_of
from cortex_llm_applet.logic.spans import GROUPINGS, SPANS, query_of
from cortex_llm_applet.logic.spend import MOST_SERIES, chart_of, numbered, top_of
from hypothesis import given
from hypothesis import strategies as st

from cortexd.validation import parse_usage_query

TODAY_SPAN, WEEK, MONTH = SPANS
PROVIDER, MODEL, TASK, APP = GROUPINGS
USD = 1_000_000_000
TODAY = date(2026, 11, 29)
DAYS = st.dates(date(2024, 1, 1), date(2032, 12, 31))


def days_back(today: date, spent: dict[int, int]) -> dict[str, int]:
    """How many days ago -> nano-dollars, as by_day has it."""
    return {(today - timedelta(days=back)).isoformat(): nano for back, nano in spent.items()}


def row(when: str, name: str, nano: int, known: bool = True) -> dict[str, object]:
    unit = "hour" if "T" in when else "day"
    return {unit: when, "provider": name, "cost_nano_usd": nano, "requests": 1, "cost_known": known}


class TestSpans:
    @pytest.mark.parametrize("span", SPANS)
    @pytest.mark.parametrize("grouping", GROUPINGS)
    def test_queries_are_the_services(self, span: object, grouping: object) -> None:
        """The service takes each query, and means the same days by it."""
        query = query_of(span, grouping, TODAY)  # type: ignore[arg-type]
        plain = {"since": query.since, "until": query.until, "group_by": list(query.group_by)}
        wish = parse_usage_query(plain, date(1990, 1, 1))
        assert (wish.since, wish.until) == (span.since(TODAY), TODAY)  # type: ignore[attr-defined]
        assert wish.group_by == query.group_by

    @given(DAYS)
    def test_bars_are_every_day_up_to_today(self, today: date) -> None:
        """No day is left out or comes twice, in any month and with any change of clocks."""
        for span, count in ((TODAY_SPAN, 24), (WEEK, 7), (MONTH, 30)):
            keys = [bucket.key for bucket in span.buckets(today)]
            assert len(set(keys)) == len(keys) == count
            assert keys == sorted(keys)
            assert keys[0].startswith(span.since(today).isoformat())
            assert keys[-1].startswith(today.isoformat())


class TestChart:
    def test_stacks_by_day_and_provider(self) -> None:
        """Each bar has its parts in the order of the legend, the dearest first."""
        rows = [row("2026-11-28", "kimi_k2", 3), row("2026-11-29", "claude", 5), row("2026-11-29", "kimi_k2", 1)]
        chart = chart_of(rows, WEEK, PROVIDER, TODAY)
        assert [(item.name, item.nano, item.requests) for item in chart.series] == [
            ("claude", 5, 1),
            ("kimi_k2", 4, 2),
        ]
        assert [bar.parts for bar in chart.bars[-2:]] == [(0, 3), (5, 1)]
        assert (chart.nano, chart.top_nano) == (9, 10)

    def test_bar_in_words(self) -> None:
        """All that a bar shows can be read; a worst case that was booked is said."""
        rows = [row("2026-11-29", "claude", USD, known=False), row("2026-11-28", "", USD // 2)]
        chart = chart_of(rows, WEEK, PROVIDER, TODAY)
        assert chart.bars[-1].words(chart.series) == "Sun, 29 November: at most $1.00 (claude $1.00)"
        assert chart.bars[-2].words(chart.series) == "Sat, 28 November: $0.5000 (no provider $0.5000)"
        assert chart.bars[-3].words(chart.series) == "Fri, 27 November: $0.00"
        assert chart.amount == "at most $1.50"

    def test_an_apps_own_word(self) -> None:
        """A name that nobody but the program itself vouches for is marked, and is another's row."""
        named: list[dict[str, object]] = [
            {"app": "aider", "app_verified": True},
            {"app": "aider", "app_verified": False},
            {},
        ]
        rows = [row("2026-11-29", "claude", 3 - number) | name for number, name in enumerate(named)]
        chart = chart_of(rows, WEEK, APP, TODAY)
        assert [item.name for item in chart.series] == ["aider", "aider (unverified)", "no app named"]

    def test_hours_of_today(self) -> None:
        """A request that has lost its hour counts in the day's first."""
        rows = [row("2026-11-29T13", "claude", 2), {**row("2026-11-29", "claude", 1), "hour": "2026-11-29"}]
        chart = chart_of(rows, TODAY_SPAN, PROVIDER, TODAY)
        assert [bar.nano for bar in chart.bars] == [1, *[0] * 12, 2, *[0] * 10]
        assert chart.bars[13].bucket.title == "13:00 to 14:00"

    def test_free_answers_are_not_nothing(self) -> None:
        """A local model's requests stand in the legend though they cost nothing; without requests there is no chart."""
        free = chart_of([row("2026-11-29", "local", 0)], WEEK, PROVIDER, TODAY)
        assert (free.empty, free.nano, free.share(free.series[0])) == (False, 0, 0.0)
        assert chart_of([], WEEK, PROVIDER, TODAY).empty

    @given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 20), st.integers(0, 10**15))))
    def test_no_nano_dollar_is_lost(self, spent: list[tuple[int, int, int]]) -> None:
        """However many names there are, bars and legend add up to what was spent."""
        rows = [row((TODAY - timedelta(days=back)).isoformat(), f"p{name}", nano) for back, name, nano in spent]
        chart = chart_of(rows, MONTH, PROVIDER, TODAY)
        assert chart.nano == sum(bar.nano for bar in chart.bars) == sum(nano for *_, nano in spent)
        assert len(chart.series) <= MOST_SERIES + 1
        assert all(0 <= bar.nano <= chart.top_nano for bar in chart.bars)

    def test_colours_stay(self) -> None:
        """A name keeps its colour and pattern when another is dearer in another time."""
        week = chart_of([row("2026-11-28", "claude", 5), row("2026-11-28", "kimi_k2", 1)], WEEK, PROVIDER, TODAY)
        hours = [row("2026-11-29T13", "kimi_k2", 1), row("2026-11-29T13", "new", 2)]
        chart = chart_of(hours, TODAY_SPAN, PROVIDER, TODAY, week.numbers)
        assert {item.name: item.number for item in week.series} == {"claude": 0, "kimi_k2": 1}
        assert {item.name: item.number for item in chart.series} == {"new": 0, "kimi_k2": 1}

    @given(st.lists(st.text(), unique=True, max_size=7), st.dictionaries(st.text(), st.integers(0, 6)))
    def test_no_two_look_alike(self, names: list[str], known: dict[str, int]) -> None:
        """Whatever was shown before, names of one chart have numbers of their own, as few as there are names or so."""
        numbers = numbered(names, known)
        assert len(set(numbers.values())) == len(numbers) == len(names)
        assert max(numbers.values(), default=0) < 7

    @given(st.integers(0, 10**18))
    def test_upper_edge_is_near(self, nano: int) -> None:
        """The highest bar takes at least three fifths of the height, and the edge is a round number."""
        top = top_of(nano)
        assert nano <= top
        assert nano < 10 or 5 * nano > 3 * top
        assert top % 5 == 0


class TestProjection:
    def test_even_days(self) -> None:
        """A dollar each day: the month's end is as many dollars away as days."""
        days = days_back(TODAY, dict.fromkeys(range(40), USD))
        found = projection_of(days, TODAY, 29 * USD, 100 * USD)
        assert found is not None
        assert (found.end_nano, found.used_up) == (30 * USD, None)

    def test_first_day_of_a_month(self) -> None:
        """The pace is last month's."""
        first = date(2026, 12, 1)
        days = days_back(first, dict.fromkeys(range(1, 31), 2 * USD))
        found = projection_of(days, first, 0, 10 * USD)
        assert found is not None
        assert (found.end_nano, found.used_up) == (62 * USD, date(2026, 12, 5))

    def test_days_off_count(self) -> None:
        """Who works two days of four is expected to do so, at the pace of the days that were worked."""
        days = days_back(TODAY, {back: USD for back in range(1, 30) if back % 4 in (1, 2)} | {30: USD})
        assert pace_of(days, TODAY) == round(USD * 16 / 30)

    def test_newest_seven_days_of_work_count(self) -> None:
        """What was spent before them says how often, not how much."""
        days = days_back(TODAY, {back: USD if back <= 7 else 50 * USD for back in range(1, 31)})
        assert pace_of(days, TODAY) == USD

    @pytest.mark.parametrize("days", [{}, {TODAY.isoformat(): USD}])
    def test_nothing_is_guessed_from_no_whole_day(self, days: dict[str, int]) -> None:
        """Without a day that is over there is no projection."""
        assert projection_of(days, TODAY, USD, 5 * USD) is None

    def test_already_used_up(self) -> None:
        """A budget that has nothing left was used up today at the latest."""
        found = projection_of({}, TODAY, 5 * USD, -USD)
        assert found is not None
        assert (found.end_nano, found.used_up) == (5 * USD, TODAY)

    def test_dear_day(self) -> None:
        """A day that has cost more than the pace adds nothing to itself."""
        days = days_back(TODAY, {0: 9 * USD, 1: USD})
        found = projection_of(days, TODAY, 10 * USD, 20 * USD)
        assert found is not None
        assert found.end_nano == 11 * USD

    @given(DAYS, st.integers(1, 10**12), st.integers(0, 10**12), st.integers(-(10**12), 10**13))
    def test_month_of_any_length(self, today: date, nano: int, spent: int, left: int) -> None:
        """The end is never below what is spent, and the day lies in the rest of the month."""
        found = projection_of(days_back(today, dict.fromkeys(range(31), nano)), today, spent, left)
        assert found is not None
        assert found.end_nano == spent + nano * (last_day(today) - today).days
        assert found.used_up is None or today <= found.used_up <= last_day(today)
        assert (found.used_up is None) == (left > 0 and left > nano * (last_day(today) - today).days)


class TestRing:
    def test_own_month(self) -> None:
        """Spent, reserved and left, with the outlook."""
        days = days_back(TODAY, dict.fromkeys(range(31), USD))
        budget = Budget("user", "", "month", 40 * USD, 8 * USD, "", "warning", 30 * USD, 2 * USD)
        ring = ring_of(budget, days, TODAY)
        assert (ring.spent, ring.reserved, ring.middle) == (0.75, 0.05, "20%")
        assert dict(ring.lines) == {
            "Left": "$8.00 of $40.00",
            "Spent": "$30.00",
            "Reserved for running requests": "$2.00",
            "At this pace by Mon, 30 November": "$31.00",
            "Used up": "not this month",
        }

    def test_shared_budget(self) -> None:
        """Nobody is told what others spend: no outlook, and what is not left counts as spent."""
        ring = ring_of(Budget("group", "staff", "month", 10 * USD, 4 * USD), {}, TODAY)
        assert (ring.title, ring.spent, ring.reserved) == ("Budget of staff this month", 0.6, 0.0)
        assert [name for name, _value in ring.lines] == ["Left", "Spent"]

    def test_own_cap_and_pause(self) -> None:
        """One's own cap has an outlook like a budget; a pause has no limit, and so no ring."""
        cap = Budget("own", "", "month", 10 * USD, 4 * USD, "", "ok", 6 * USD, 0)
        [ring] = rings_of([Budget("pause", "", "day"), cap], {}, TODAY)
        assert (ring.title, ring.spent) == ("Your own cap this month", 0.6)
        assert dict(ring.lines)["Used up"] == MISSING

    def test_what_is_not_known_is_a_dash(self) -> None:
        """A limit without figures is never shown as full or empty."""
        ring = ring_of(Budget("user", "", "month", 10 * USD), None, TODAY)
        assert (ring.spent, ring.middle) == (None, MISSING)
        assert dict(ring.lines)["Used up"] == MISSING

    @given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
    def test_parts_fit(self, limit: int, spent: int, reserved: int) -> None:
        """Spent and reserved never pass the whole ring, however far a limit is passed."""
        budget = Budget("user", "", "day", limit, limit - spent - reserved, "", "", spent, reserved)
        ring = ring_of(budget, {}, TODAY)
        assert ring.spent is not None
        assert 0 <= ring.spent <= ring.spent + ring.reserved <= 1.000001
        assert (ring.middle == "0%") == (limit - spent - reserved <= 0)

    def test_month_without_a_budget(self) -> None:
        """The outlook needs no limit; nothing known is a dash."""
        days = days_back(TODAY, dict.fromkeys(range(31), USD))
        end = "At this pace by Mon, 30 November"
        assert dict(month_lines(3 * USD, days, TODAY)) == {"Spent this month": "$3.00", end: "$4.00"}
        assert dict(month_lines(None, None, TODAY)) == {"Spent this month": MISSING, end: MISSING}
