"""Whom a budget binds, when a threshold is crossed, and what a refusal tells."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.accounts import Budgets, budget_exceeded, period_end, severity, thresholds_crossed
from cortexd.accounts import groups as groups_module
from cortexd.accounts.groups import Groups, membership
from cortexd.config.settings import BudgetSettings, LimitUsd
from cortexd.errors import BudgetExceeded, Timeout
from cortexd.ledger import BudgetChange, BudgetState, Limit, LimitOverride, OverBudget, Own, Period
from tests.eventually import assert_eventually_async

USD = 1_000_000_000
ME = pwd.getpwuid(os.geteuid())
MY_GROUP = grp.getgrgid(ME.pw_gid).gr_name


def amounts(limits: tuple[Limit, ...], scope: str) -> dict[str, int]:
    return {limit.period.value: limit.nano for limit in limits if limit.scope == scope}


def change(before: int, after: int, limit: int = 1_000) -> BudgetChange:
    return BudgetChange(Limit("user", "alice", Period.DAY, limit, frozenset((7,))), before, after)


async def limits_of(
    settings: BudgetSettings, user: str = "alice", uid: int = 7, **overrides: LimitOverride
) -> tuple[Limit, ...]:
    parts = {key: key.partition("_for_") for key in overrides}
    scopes = {(scope, name): overrides[key] for key, (scope, _, name) in parts.items()}
    return await Budgets(settings, scopes).limits_for(uid, user)


class TestLimits:
    async def test_none_by_default(self) -> None:
        """A machine without budgets limits nobody."""
        assert await limits_of(BudgetSettings()) == ()

    async def test_user_then_machine(self) -> None:
        """A limit for each period that has an amount; a user's is by his uid alone, the machine's by everybody."""
        settings = BudgetSettings(machine=LimitUsd(month_usd="500"), each_user=LimitUsd("0.10", "2.000000001"))
        of_day = (50_000_000, 80_000_000, 95_000_000)
        of_month = (1_000_000_001, 1_600_000_001, 1_900_000_001)
        together = (250 * USD, 400 * USD, 475 * USD)
        assert await limits_of(settings) == (
            Limit("user", "alice", Period.DAY, 100_000_000, frozenset((7,)), marks=of_day),
            Limit("user", "alice", Period.MONTH, 2_000_000_001, frozenset((7,)), marks=of_month),
            Limit("machine", "", Period.MONTH, 500 * USD, None, step_nano=10 * USD, marks=together),
        )

    async def test_shared_ones_have_steps_and_shares(self) -> None:
        """A user without a limit of his own may have a quarter of a shared one's rest uncertain, or what is set."""
        machine = LimitUsd("50")
        (limit,) = await limits_of(BudgetSettings(machine=machine))
        assert (limit.step_nano, limit.share) == (USD, Fraction(1, 4))
        (limit,) = await limits_of(BudgetSettings(machine=machine, shared_step=0.05, own_share=0.1))
        assert (limit.step_nano, limit.share) == (2_500_000_000, Fraction(1, 10))
        own, limit = await limits_of(BudgetSettings(machine=machine, users={"alice": LimitUsd(month_usd="1")}))
        assert (own.step_nano, limit.step_nano) == (0, USD)
        assert own.share == limit.share == Fraction(1)
        (limit,) = await limits_of(BudgetSettings(machine=LimitUsd("0.000000049"), shared_step=0.02))
        assert limit.step_nano == 0

    @pytest.mark.parametrize("name", ["alice", "7"])
    async def test_a_user_of_his_own(self, name: str) -> None:
        """Who is named, by name or uid, is not bound by what binds each user."""
        settings = BudgetSettings(each_user=LimitUsd("1", "10"), users={name: LimitUsd(day_usd="20")})
        assert amounts(await limits_of(settings), "user") == {"day": 20 * USD}
        assert amounts(await limits_of(settings, "bob", 8), "user") == {"day": USD, "month": 10 * USD}

    async def test_overrides_stand_above_amount_by_amount(self) -> None:
        """What SetBudget sets holds; what it leaves out stays as the configuration has it."""
        settings = BudgetSettings(machine=LimitUsd("50", "500"), each_user=LimitUsd("1", "10"))
        limits = await limits_of(
            settings,
            machine_for_=LimitOverride(day_nano=5),
            each_user_for_=LimitOverride(month_nano=6),
            user_for_alice=LimitOverride(day_nano=0),
        )
        assert amounts(limits, "machine") == {"day": 5, "month": 500 * USD}
        assert amounts(limits, "user") == {"day": 0, "month": 6}

    @pytest.mark.parametrize("name", ["alice", "7"])
    async def test_an_override_of_his_own(self, name: str) -> None:
        """SetBudget names a user by name or uid too, and binds nobody else."""
        settings = BudgetSettings(each_user=LimitUsd("1", "10"))
        budgets = Budgets(settings, {("user", name): LimitOverride(day_nano=3)})
        assert amounts(await budgets.limits_for(7, "alice"), "user") == {"day": 3, "month": 10 * USD}
        assert amounts(await budgets.limits_for(8, "bob"), "user") == {"day": USD, "month": 10 * USD}

    async def test_groups(self) -> None:
        """A group's members share its budget: by primary group too, and only they are bound by it."""
        settings = BudgetSettings(groups={MY_GROUP: LimitUsd(day_usd="3")})
        (limit,) = await limits_of(settings, ME.pw_name, ME.pw_uid)
        assert (limit.scope, limit.name, limit.nano) == ("group", MY_GROUP, 3 * USD)
        assert limit.uids is not None
        assert ME.pw_uid in limit.uids
        assert await limits_of(settings, "nobody-at-all", 4_000_000) == ()

    def test_of_programs(self) -> None:
        """Each user's own, by the names in the settings and those that were set; others have none."""
        settings = BudgetSettings(apps={"aider": LimitUsd("1", "9"), "codex": LimitUsd("2")})
        budgets = Budgets(settings, {("app", "codex"): LimitOverride(5, None), ("app", "llm"): LimitOverride(None, 7)})
        assert [limit.nano for limit in budgets.limits_by_app(7, "aider")] == [USD, 9 * USD]
        every = budgets.limits_by_app(7)
        assert [(limit.name, limit.period.value, limit.nano) for limit in every[2:]] == [
            ("codex", "day", 5),
            ("llm", "month", 7),
        ]
        assert {(limit.scope, limit.uids, limit.personal) for limit in every} == {("app", frozenset((7,)), True)}
        assert budgets.limits_by_app(7, "other") == ()

    async def test_a_group_only_by_override(self) -> None:
        """SetBudget may give a group a budget that the configuration does not know."""
        budgets = Budgets(BudgetSettings(), {("group", MY_GROUP): LimitOverride(month_nano=9)})
        assert amounts(await budgets.limits_for(ME.pw_uid, ME.pw_name), "group") == {"month": 9}

    async def test_an_unknown_group_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """A group that the machine does not know binds nobody and is told to the operator, not at each request."""
        clock = Clock()
        groups = Groups(["no-such-group", MY_GROUP], clock)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert list(await groups.of(ME.pw_uid)) == [MY_GROUP]
                clock.now += 61
        assert [record.message for record in caplog.records] == [
            "budgets.groups.no-such-group: this machine knows no such group; it stands for nobody"
        ]


class Clock:
    """A clock that only the test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def no_threads_left() -> Iterator[None]:
    """What is given to a thread meanwhile waits."""
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        free = threading.Event()
        threads.submit(free.wait, 30)
        try:
            yield
        finally:
            free.set()
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))


class TestGroups:
    async def test_are_looked_up_once_a_minute(self) -> None:
        """Within a minute the answer is the same object, after it a new one in which equal sets are the old ones."""
        clock = Clock()
        groups = Groups([MY_GROUP], clock)
        first = await groups.of(ME.pw_uid)
        known = groups._known
        await groups.of(ME.pw_uid)
        assert groups._known is known
        clock.now += 60
        again = await groups.of(ME.pw_uid)
        assert groups._known is not known
        assert again[MY_GROUP] is first[MY_GROUP]

    async def test_a_user_database_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without any answer a request is refused in time; where there is an old one, that stands."""
        monkeypatch.setattr(groups_module, "_DEADLINE_S", 0.05)
        clock = Clock()
        groups = Groups([MY_GROUP], clock)
        with no_threads_left():
            for _ in range(2):
                with pytest.raises(Timeout):
                    await groups.of(ME.pw_uid)
        await assert_eventually_async(lambda: groups._known is not None)
        first = await groups.of(ME.pw_uid)
        clock.now += 61
        with no_threads_left():
            assert await groups.of(ME.pw_uid) == first
        await assert_eventually_async(lambda: groups._lookup is None)

    def test_have_every_listed_member(self) -> None:
        """Members by the group's own list and by their primary group, as uids; names without a user are left out."""
        found = membership([group.gr_name for group in grp.getgrall()], frozenset((4_000_000,)))
        for group in grp.getgrall():
            listed = {user.pw_uid for user in pwd.getpwall() if user.pw_name in group.gr_mem}
            primary = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid}
            assert found.members[group.gr_name] == listed | primary
        assert 4_000_000 in found.looked_up


class TestThresholds:
    @pytest.mark.parametrize(
        ("before", "after", "crossed"),
        [
            (0, 499, ()),
            (0, 500, (0.5,)),
            (499, 500, (0.5,)),
            (500, 799, ()),
            (0, 5_000, (0.5, 0.8, 0.95)),
            (799, 950, (0.8, 0.95)),
            (950, 9_999, ()),
        ],
    )
    def test_crossed(self, before: int, after: int, crossed: tuple[float, ...]) -> None:
        """A threshold is crossed by the settlement that reaches it, and by no other; the highest is last."""
        assert thresholds_crossed(change(before, after), (0.95, 0.5, 0.8)) == crossed

    @given(st.lists(st.integers(0, 10**18), min_size=1), st.integers(1, 2**63), st.integers(1, 100))
    def test_once_on_the_way(self, steps: list[int], limit: int, percent: int) -> None:
        """However a sum grows, each threshold is crossed exactly once, where it is reached at all."""
        spent, crossed = 0, 0
        for step in steps:
            crossed += len(thresholds_crossed(change(spent, spent + step, limit), (percent / 100,)))
            spent += step
        assert crossed == (spent * 100 >= limit * percent)

    def test_are_decimal(self) -> None:
        """0.1 of a limit is a tenth of it, to the nano-dollar, also where a binary fraction is not."""
        limit = 10**19
        assert thresholds_crossed(change(0, limit // 10, limit), (0.1,)) == (0.1,)
        assert thresholds_crossed(change(0, limit // 10 - 1, limit), (0.1,)) == ()

    def test_nothing_is_left_to_cross_at_0(self) -> None:
        """A limit of $0 is reached from the beginning."""
        assert thresholds_crossed(change(0, 5, 0), (0.5, 1.0)) == ()

    @pytest.mark.parametrize(
        ("spent", "limit", "word"),
        [
            *((spent, 100, "ok") for spent in (0, 49)),
            *((spent, 100, "warning") for spent in (50, 99)),
            *((spent, 100, "exceeded") for spent in (100, 300)),
            (0, 0, "exceeded"),
        ],
    )
    def test_severity(self, spent: int, limit: int, word: str) -> None:
        """By what is spent for good: reservations come and go."""
        state = BudgetState(change(0, 0, limit).limit, spent, 10**6)
        assert severity(state, (0.5, 0.8)) == word


class TestPeriodEnd:
    @pytest.mark.parametrize(
        ("zone", "now", "day", "month"),
        [
            ("UTC0", datetime(2026, 11, 24, 9, 30), "2026-11-25T00:00:00+00:00", "2026-12-01T00:00:00+00:00"),
            ("UTC0", datetime(2026, 12, 31, 23, 59), "2027-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
            ("JST-9", datetime(2026, 11, 30, 15), "2026-12-02T00:00:00+09:00", "2027-01-01T00:00:00+09:00"),
            # the clocks change between now and the end: the new offset holds
            ("CET-1CEST,M3.5.0,M10.5.0/3", datetime(2026, 10, 25, 0), "2026-10-26T00:00:00+01:00", None),
            ("CET-1CEST,M3.5.0,M10.5.0/3", datetime(2026, 10, 9), None, "2026-11-01T00:00:00+01:00"),
            # midnight is left out: the day begins at one o'clock
            ("EET-2EEST,M3.5.0/0,M10.5.0/0", datetime(2026, 3, 28, 12), "2026-03-29T01:00:00+03:00", None),
            # midnight comes twice: the day begins with the first
            ("AZOT1AZOST,M3.5.0/0,M10.5.0/1", datetime(2026, 10, 24, 12), "2026-10-25T00:00:00+00:00", None),
        ],
    )
    def test_is_the_next_local_midnight(
        self, time_zone: Callable[[str], None], zone: str, now: datetime, day: str | None, month: str | None
    ) -> None:
        """The next day or month as the machine's clock will show it."""
        time_zone(zone)
        for period, expected in ((Period.DAY, day), (Period.MONTH, month)):
            if expected is not None:
                end = period_end(period, now.replace(tzinfo=UTC).astimezone())
                assert end.astimezone(UTC) == datetime.fromisoformat(expected)


class TestRefusal:
    def refusal(self, scope: str, name: str = "", nano: int = 2_500_000_000) -> BudgetExceeded:
        uids = None if scope == "machine" else frozenset((7, 8))
        state = BudgetState(Limit(scope, name, Period.DAY, nano, uids), 1_234_567_891, 1_000)
        return budget_exceeded(OverBudget(state), datetime(2026, 11, 24, 12, tzinfo=UTC).astimezone())

    def test_says_what_is_left_and_when_it_starts_again(self, time_zone: Callable[[str], None]) -> None:
        """One's own budget: limit, rest, and the moment from which there is more; a program reads it from details."""
        time_zone("UTC0")
        error = self.refusal("user", "alice")
        assert str(error) == (
            "This request may cost more than the $1.265431109 left of your $2.50 daily budget. "
            "Lower max_tokens, choose a cheaper model, or wait until 2026-11-25 00:00 UTC. "
            "[period=day limit_usd=2.50 resets_at=2026-11-25T00:00:00+00:00]"
        )
        assert BudgetExceeded.from_text(str(error)).details == error.details

    def test_names_the_program(self, time_zone: Callable[[str], None]) -> None:
        """Whose limit it is stands in the text, and in details of its own."""
        time_zone("UTC0")
        error = self.refusal("app", "aider")
        assert error.details == {
            "period": "day",
            "limit_usd": "2.50",
            "resets_at": "2026-11-25T00:00:00+00:00",
            "cause": "app_budget",
            "app": "aider",
        }
        assert "by aider" in error.message

    @pytest.mark.parametrize(("scope", "words"), [("group", "the students group's"), ("machine", "this machine's")])
    def test_tells_nothing_of_others(self, scope: str, words: str) -> None:
        """Where others spend too, the refusal has the limit, and no figure that tells what they spent."""
        text = str(self.refusal(scope, "students"))
        assert words in text
        assert "$2.50" in text
        assert "1.2" not in text
        assert "left" not in text

    @pytest.mark.parametrize(("period", "ends"), [(Period.DAY, "2026-11-25"), (Period.MONTH, "2026-12-01")])
    def test_ends_with_its_period(self, time_zone: Callable[[str], None], period: Period, ends: str) -> None:
        """There is more when the limit's own period ends."""
        time_zone("UTC0")
        over = OverBudget(BudgetState(Limit("machine", "", period, USD, None), USD, 0))
        error = budget_exceeded(over, datetime(2026, 11, 24, 12, tzinfo=UTC).astimezone())
        assert error.details["resets_at"] == f"{ends}T00:00:00+00:00"

    def test_says_whose_share_it_is(self, time_zone: Callable[[str], None]) -> None:
        """The own uncertain costs and what they may be; until tomorrow, or at once where some are under way."""
        time_zone("UTC0")
        noon = datetime(2026, 11, 24, 12, tzinfo=UTC).astimezone()
        limit = Limit("machine", "", Period.MONTH, 10 * USD, None, share=Fraction(1, 4))
        for own, more in ((Own(USD, 0, 2 * USD), {}), (Own(0, 3 * USD), {"retry_after_ms": 1000})):
            error = budget_exceeded(OverBudget(BudgetState(limit, 2 * USD, 4 * USD, own), own_share=True), noon)
            share = (4 * USD + own.reserved_nano + own.unknown_nano) // 4
            assert f"may take ${share / USD:.2f} of this machine's $10.00 monthly budget" in str(error)
            assert error.details == {
                "period": "month",
                "limit_usd": "10.00",
                "resets_at": "2026-11-25T00:00:00+00:00",
                "cause": "own_share",
                **more,
            }

    @pytest.mark.parametrize(
        ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (100_000_000, "0.10"), (12 * USD + 345_000_000, "12.345")]
    )
    def test_amounts_are_exact(self, nano: int, text: str) -> None:
        """A limit is told to its last nano-dollar, and with cents."""
        assert self.refusal("machine", nano=nano).details["limit_usd"] == text
