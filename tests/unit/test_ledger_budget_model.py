"""The budgets in transaction A held against the plainest rules: every sum added up anew over all requests."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cortexd.ledger import Limit, Period
from cortexd.ledger.engines import place_of
from cortexd.ledger.records import RequestState
from cortexd.ledger.writing import tallies
from cortexd.ledger.writing.actions import Action, Change, ReadBooks, Reserve, ReserveMore, Settle
from cortexd.ledger.writing.store import Store
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, attempt, request, settings

pytestmark = pytest.mark.usefixtures("engine")

DAYS = {"2026-11-23": datetime(2026, 11, 23, 12), "2026-11-24": datetime(2026, 11, 24, 12)}
SHARED = (
    replace(limit(90, None, Period.MONTH), step_nano=7, share=Fraction(1, 2)),
    limit(60),
    replace(limit(50, (1, 2)), step_nano=4, share=Fraction(2, 3)),
)
BY_APP = tuple(replace(limit(22, (uid,), period), scope="app", name="aider") for uid in (1, 2) for period in Period)
EVERY = (*SHARED, *(limit(30, (uid,)) for uid in (1, 2, 3)), *BY_APP)
Step = tuple[Any, ...]
# a request's state, and whether its cost is known
ENDS = {
    "answered": (RequestState.DONE, True),
    "answered_somehow": (RequestState.DONE, False),
    "failed": (RequestState.FAILED, False),
    "left": (RequestState.CANCELLED, False),
    "stopped": (RequestState.CANCELLED, True),
}
APPS = st.sampled_from(("", "aider", "codex"))
steps = st.one_of(
    st.tuples(st.just("reserve"), st.integers(1, 3), st.integers(0, 40), st.sampled_from(sorted(DAYS)), APPS),
    st.tuples(st.just("more"), st.integers(0, 20), st.integers(0, 30)),
    st.tuples(st.sampled_from(sorted(ENDS)), st.integers(0, 20), st.integers(0, 45)),
    st.tuples(st.just("read"), st.sampled_from(sorted(DAYS)), st.sampled_from((None, 1, 2, 3))),
    st.tuples(st.just("break")),
)


def limits_of(uid: int, app: str) -> tuple[Limit, ...]:
    by_app = (each for each in BY_APP if app == each.name and each.uids == frozenset((uid,)))
    return (limit(30, (uid,)), *(each for each in SHARED if each.uids is None or uid in each.uids), *by_app)


class Broken(Exception):
    """Ends a transaction, whose actions are then run one by one."""


def break_off(_connection: object) -> None:
    raise Broken


@dataclass
class Made:
    uid: int
    day: str
    held: int
    spent: int = 0
    settled: bool = False
    in_doubt: bool = False
    key: int = 0
    app: str = ""


class Model:
    """What each action comes to, by the name of its outcome's type."""

    def __init__(self) -> None:
        self.requests: list[Made] = []

    def sums(self, each: Limit, day: str) -> tuple[int, int]:
        chosen = self.under(each, day)
        return sum(made.spent for made in chosen), sum(made.held for made in chosen)

    def under(self, each: Limit, day: str) -> list[Made]:
        length = len("2026-11-23" if each.period is Period.DAY else "2026-11")
        by_app = [made for made in self.requests if each.scope != "app" or made.app == each.name]
        of_users = (made for made in by_app if each.uids is None or made.uid in each.uids)
        return [made for made in of_users if made.day[:length] == day[:length]]

    def standing(self, day: str, uid: int | None) -> list[tuple[int, int, tuple[int, int, int]]]:
        """What every limit has spent and reserved that day, and of it `uid`."""
        nobody = (0, 0, 0)
        return [(*self.sums(each, day), nobody if uid is None else self.own(each, uid, day)) for each in EVERY]

    def own(self, each: Limit, uid: int, day: str) -> tuple[int, int, int]:
        """Spent and reserved by `uid` under a limit, and what nobody knows of his costs of that day."""
        if each.scope == "app":
            return (*self.sums(each, day), 0)
        chosen = [made for made in self.under(replace(each, uids=None), day) if made.uid == uid]
        return sum(made.spent for made in chosen), sum(made.held for made in chosen), self.doubtful(uid, day)

    def doubtful(self, uid: int, day: str) -> int:
        return sum(made.spent for made in self.requests if made.uid == uid and made.day == day and made.in_doubt)

    def fits(self, uid: int, app: str, day: str, nano: int, already: int = 0) -> bool:
        return nano == 0 or all(self.fits_into(each, uid, day, nano, already) for each in limits_of(uid, app))

    def fits_into(self, each: Limit, uid: int, day: str, nano: int, already: int) -> bool:
        under = self.under(each, day)
        others = sum(made.spent + made.held for made in under if made.uid != uid)
        step = each.step_nano or 1
        left = each.nano - (others + step - 1) // step * step
        left -= sum(made.spent + made.held for made in under if made.uid == uid)
        held = sum(made.held for made in under if made.uid == uid)
        doubtful = self.doubtful(uid, day)
        share = math.floor(max(0, left + held + doubtful) * each.share)
        burst = held > already or doubtful > share
        return nano <= left and not (burst and held + doubtful + nano > share)

    def reserve(self, uid: int, nano: int, day: str, app: str) -> Made | None:
        if not self.fits(uid, app, day, nano):
            return None
        self.requests.append(Made(uid, day, nano, app=app))
        return self.requests[-1]

    def more(self, made: Made, nano: int) -> str:
        if made.settled:
            return "RequestNotFound"
        if not self.fits(made.uid, made.app, made.day, nano, made.held):
            return "OverBudget"
        made.held += nano
        return "NoneType"

    def settle(self, made: Made, nano: int, end: str) -> str:
        if made.settled:
            return "RequestNotFound"
        made.spent, made.held, made.settled, made.in_doubt = nano, 0, True, end in ("failed", "left")
        return "Settled"


class Play:
    """The same actions on a real ledger and on the model."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.model = Model()

    def group(self, wanted: list[Step]) -> None:
        """Actions that are committed together; each outcome is the one that the model expects."""
        actions: list[Action] = []
        expected: list[Any] = []
        made_here: dict[int, Made] = {}
        known = list(self.model.requests)
        for kind, *values in wanted:
            match kind:
                case "reserve":
                    uid, nano, day, app = values
                    row = request(uid, started_at=DAYS[day].astimezone(), labels={"app": app} if app else {})
                    actions.append(Reserve(row, nano, limits_of(uid, app)))
                    made = self.model.reserve(uid, nano, day, app)
                    expected.append("OverBudget" if made is None else "int")
                    if made is not None:
                        made_here[len(actions) - 1] = made
                case "read":
                    actions.append(ReadBooks(EVERY, *values))
                    expected.append(self.model.standing(*values))
                case "break":
                    actions.append(Change(break_off))
                    expected.append("Broken")
                case _ if known:
                    number, nano = values
                    action, outcome = self.later(kind, known[number % len(known)], nano)
                    actions.append(action)
                    expected.append(outcome)
        outcomes = self.store.run(actions)
        assert [shown(outcome) for outcome in outcomes] == expected
        for place, made in made_here.items():
            made.key = outcomes[place]

    def later(self, kind: str, made: Made, nano: int) -> tuple[Action, str]:
        """What becomes of a request that was made before."""
        if kind == "more":
            return ReserveMore(made.key, nano), self.model.more(made, nano)
        state, told = ENDS[kind]
        return Settle(made.key, state, (attempt(nano, cost_known=told),)), self.model.settle(made, nano, kind)

    def compare(self) -> None:
        """Every limit stands, on each day, where the model has it, and so does each user's part of it."""
        self.group([("read", day, uid) for day, uid in product(DAYS, (None, 1, 2, 3))])


def shown(outcome: Any) -> Any:
    """An outcome as the model has it: figures of limits, or the name of its type."""
    if not isinstance(outcome, list):
        return type(outcome).__name__
    return [(state.spent_nano, state.reserved_nano, tuple(state.own)) for state in outcome]


@examples(max_examples=25, deadline=None, database=None)
@given(groups=st.lists(st.lists(steps, max_size=6), min_size=2, max_size=12))
def check(groups: list[list[Step]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(place_of(settings(Path(directory))), "model", 900, MACHINE)
        try:
            play = Play(store)
            for wanted in groups:
                play.group(wanted)
            play.compare()
        finally:
            store.close()


class TestModel:
    def test_agrees_with_the_plainest_rules(self) -> None:
        """Any order of reservations and settlements in any groups, broken ones too: the same answers and sums."""
        check()

    @pytest.mark.of_a_file
    def test_agrees_with_hardly_any_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same where sums are dropped and read from the entries again all the time."""
        for bound in ("_MAX_OWN", "_MAX_SHARED", "_MAX_PERIODS"):
            monkeypatch.setattr(tallies, bound, 1)
        check()

    def test_sums_read_anew_in_a_transaction(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Have in them what it has done before: here hardly any sum is at hand, and all comes in one."""
        for bound in ("_MAX_OWN", "_MAX_SHARED", "_MAX_PERIODS"):
            monkeypatch.setattr(tallies, bound, 1)
        first, second = sorted(DAYS)
        store = Store(place_of(settings(tmp_path)), "model", 900, MACHINE)
        try:
            play = Play(store)
            play.group([("reserve", uid, 9, day, "aider") for uid in (1, 2) for day in (first, first, second)])
            left = [("left", number, nano) for number, nano in enumerate((5, 7, 3, 2, 4, 6))]
            anew = [("reserve", uid, 1, day, "aider") for uid in (1, 2) for day in (first, second)]
            play.group([*left, *anew, *(("read", day, uid) for uid in (1, 2, None) for day in (first, second))])
        finally:
            store.close()
