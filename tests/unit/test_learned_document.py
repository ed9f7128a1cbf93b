"""What was learned as a document, and what an administrator may do to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.learned import Cell, Learned, Part
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument
from cortexd.routing.learned import Cells
from cortexd.routing.learned.cells import MOST_CELLS
from cortexd.routing.learned.changes import merged, replaced, without
from cortexd.routing.learned.counting import NAMES, SEED, cells_of
from cortexd.routing.learned.document import parsed, written
from cortexd.validation.learned import parse_import_options, parse_part

A, B = Target("claude", "a"), Target("kimi_k2", "b/c")
CHAT, CODE = "user_chat", "code_generation"
WHOLE = st.integers(0, 2**53)
AMOUNT = st.floats(0, 800)
NAMES_OF_MODELS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cn", "Co")), min_size=1, max_size=40)
CELLS = st.dictionaries(
    st.tuples(
        st.sampled_from(["", *(task.value for task in TaskType)]), st.builds(Target, NAMES_OF_MODELS, NAMES_OF_MODELS)
    ),
    st.builds(Cell, AMOUNT, AMOUNT, WHOLE, WHOLE),
    max_size=6,
)
COUNTS = st.dictionaries(
    st.tuples(st.sampled_from([name for name in NAMES if name != SEED]), NAMES_OF_MODELS),
    st.integers(1, 2**53),
    max_size=6,
)
CELL = {"task": CHAT, "provider": "claude", "model": "a", "good": 1.0, "bad": 0.5, "outcomes": 2, "seen": 3}
DOCUMENT: dict[str, Any] = {"version": 1, "counts": {"task": {"": 3, CHAT: 3}}, "cells": [CELL]}


def known(*scores: tuple[str, Target, float], seed: int = 5) -> Learned:
    """What a machine knows after these outcomes, each of a decision."""
    cells = Cells()
    for task, target, score in scores:
        cells.decided(task)
        cells.learn(task, target, score)
    counts = {("task", task): number for task, number in cells.decisions.items()}
    return Learned(dict(cells), {**counts, (SEED, ""): seed, ("recalled", str(A)): 4}, begun=True)


def changed(**fields: Any) -> str:
    return json.dumps({**DOCUMENT, **fields})


def with_cell(**fields: Any) -> str:
    return changed(cells=[{**CELL, **fields}])


class TestDocument:
    @given(CELLS, COUNTS)
    def test_comes_back_as_it_was(self, cells: dict[Any, Cell], counts: dict[Any, int]) -> None:
        """Every figure exactly, whatever the models are called, in the order in which cells are dropped."""
        learned = Learned(cells, counts)
        again = parsed(written(learned))
        assert list(again.cells.items()) == list(cells.items())
        assert again.counts == counts

    def test_the_seed_stays_at_home(self) -> None:
        """Machines that draw alike would look at the same time."""
        assert SEED not in json.loads(written(known((CHAT, A, 1.0))))["counts"]
        assert parsed(changed()).counts == {("task", ""): 3, ("task", CHAT): 3}

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("", "document:"),
            ("[" * 100_000, "document:"),
            ("[]", "document:"),
            ('{"version": 1' + "0" * 5000 + "}", "document:"),
            (changed(version=2), "document.version:"),
            (changed(version=True), "document.version:"),
            (changed(more=1), "document.more:"),
            (json.dumps({"version": 1, "cells": []}), "document.counts:"),
            (changed(counts={"seed": {"": 1}}), "document.counts.seed:"),
            (changed(counts={"task": {"": -1}}), "document.counts.task.:"),
            (changed(counts={"task": {"x" * 600: 1}}), "document.counts.task.x"),
            (changed(counts={"task": 3}), "document.counts.task:"),
            (changed(cells={}), "document.cells:"),
            (changed(cells=[CELL, CELL]), "document.cells[1]:"),
            (changed(cells=[CELL] * (MOST_CELLS + 1)), "document.cells:"),
            (with_cell(task="gardening"), "document.cells[0].task:"),
            (with_cell(task=[1]), "document.cells[0].task:"),
            (with_cell(provider=""), "document.cells[0].provider:"),
            (with_cell(model=7), "document.cells[0].model:"),
            (with_cell(good=-0.1), "document.cells[0].good:"),
            (with_cell(good=float("nan")), "document.cells[0].good:"),
            (with_cell(bad=float("inf")), "document.cells[0].bad:"),
            (with_cell(outcomes=1.5), "document.cells[0].outcomes:"),
            (with_cell(seen=2**60), "document.cells[0].seen:"),
            (changed(cells=[{key: CELL[key] for key in CELL if key != "seen"}]), "document.cells[0].seen:"),
        ],
    )
    def test_what_is_wrong_is_named(self, text: str, field: str) -> None:
        """By its place in the document, before anything of it is used."""
        with pytest.raises(InvalidArgument) as caught:
            parsed(text)
        assert str(caught.value).startswith(field)


class TestReplace:
    def test_is_the_other_machine_with_an_own_seed(self) -> None:
        """Nothing of what was known stays but for the seed."""
        given_ = parsed(written(known((CODE, B, 0.5))))
        after = replaced(known((CHAT, A, 1.0), seed=9), given_)
        assert after.cells == given_.cells
        assert after.counts == {**given_.counts, (SEED, ""): 9}
        assert after.begun


class TestMerge:
    def test_evidence_adds_up(self) -> None:
        """Two machines with the same number of outcomes each count alike; decisions stay one's own."""
        own, other = known((CHAT, A, 1.0), (CHAT, A, 1.0)), known((CHAT, A, 0.0), (CHAT, B, 0.0), seed=6)
        after = merged(own, other)
        cell = after.cells[CHAT, A]
        assert (cell.count, cell.seen) == (3, 2)
        assert cell.good == pytest.approx(2.0, rel=0.01)
        assert cell.bad == pytest.approx(1.0, rel=0.01)
        assert after.counts["task", CHAT] == own.counts["task", CHAT]
        assert after.counts[SEED, ""] == 5
        assert after.counts["recalled", str(B)] == 1

    def test_what_has_faded_elsewhere_has_faded_here(self) -> None:
        """Evidence of four hundred decisions ago counts half."""
        other = known((CHAT, A, 1.0))
        other = Learned(other.cells, {**other.counts, ("task", CHAT): 401})
        cell = merged(known(), other).cells[CHAT, A]
        assert cell.good == pytest.approx(0.5)

    def test_the_same_often_is_bounded(self) -> None:
        """As outcomes of one's own are."""
        after = own = known(*[(CHAT, A, 1.0)] * 150)
        for _ in range(20):
            after = merged(after, own)
        assert after.cells[CHAT, A].good == pytest.approx(200)
        assert after.cells["", A].good == pytest.approx(800)

    def test_leaves_the_given_as_they_were(self) -> None:
        """Who cannot write the ledger has lost nothing."""
        own, other = known((CHAT, A, 1.0)), known((CHAT, A, 0.0))
        before = written(own), written(other)
        merged(own, other)
        assert (written(own), written(other)) == before


class TestForget:
    @pytest.mark.parametrize(
        ("part", "left"),
        [
            (Part(), set()),
            (Part(CHAT), {("", A), ("", B), (CODE, A), (CODE, B)}),
            (Part("", A), {("", B), (CHAT, B), (CODE, B)}),
            (Part("", Target("kimi_k2")), {("", A), (CHAT, A), (CODE, A)}),
            (Part(CODE, B), {("", A), ("", B), (CHAT, A), (CHAT, B), (CODE, A)}),
            (Part("", Target("nobody")), {("", A), ("", B), (CHAT, A), (CHAT, B), (CODE, A), (CODE, B)}),
        ],
    )
    def test_what_is_named_goes(self, part: Part, left: set[Any]) -> None:
        """And nothing else; the ledger is not taken for one that never learned."""
        learned = known(*((task, target, 1.0) for task in (CHAT, CODE) for target in (A, B)))
        after = without(learned, part)
        assert set(after.cells) == left
        assert after.counts
        assert after.counts[SEED, ""] == 5

    def test_a_task_is_taken_out_of_the_models_mean(self) -> None:
        """What it has shown of a model shows nothing of it any more."""
        learned = known(*[(CHAT, A, 0.0)] * 6, *[(CODE, A, 1.0)] * 6)
        after = without(learned, Part(CHAT))
        alone = known(*[(CODE, A, 1.0)] * 6)
        assert cells_of(after).model(A).mean == pytest.approx(cells_of(alone).model(A).mean, abs=0.01)

    def test_a_models_first_looks_begin_anew(self) -> None:
        """Where it is forgotten over all tasks."""
        assert ("recalled", str(A)) not in without(known((CHAT, A, 1.0)), Part("", A)).counts
        assert ("recalled", str(A)) in without(known((CHAT, A, 1.0)), Part(CHAT, A)).counts


class TestWishes:
    def test_a_part(self) -> None:
        """A task type, a provider or a model of it, or nothing for all."""
        assert parse_part({}) == Part()
        assert parse_part({"task_type": CHAT, "model": "kimi_k2/b/c"}) == Part(CHAT, B)
        assert parse_part({"model": "kimi_k2"}) == Part("", Target("kimi_k2"))
        assert parse_import_options({"mode": "merge"})
        assert not parse_import_options({"mode": "replace"})

    @pytest.mark.parametrize(
        ("parse", "value", "field"),
        [
            (parse_part, {"task_type": "gardening"}, "part.task_type:"),
            (parse_part, {"model": "claude/"}, "part.model:"),
            (parse_part, {"model": ""}, "part.model:"),
            (parse_part, {"task": CHAT}, "part.task:"),
            (parse_part, [], "part:"),
            (parse_import_options, {}, "options.mode:"),
            (parse_import_options, {"mode": "add"}, "options.mode:"),
        ],
    )
    def test_what_is_wrong_is_named(self, parse: Any, value: object, field: str) -> None:
        """By its key."""
        with pytest.raises(InvalidArgument) as caught:
            parse(value)
        assert str(caught.value).startswith(field)
