"""The learned strategy's cells and policy: what they make of outcomes, and when they look elsewhere."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.routing.learned import Arm, Cells, Choice, Counts, Policy, Rules
from cortexd.routing.learned import cells as cells_module

TASK, OTHER = "code_generation", "user_chat"
GOOD, POOR, THIRD = (Target("a", name) for name in ("good", "poor", "third"))
SCORES = st.lists(st.floats(0, 1), max_size=300)


def policy(rules: Rules | None = None, cells: Cells | None = None) -> Policy:
    return Policy(cells or Cells(), Counts(), rules or Rules())


def arms(*targets: Target, penalty: float = 0.0) -> list[Arm]:
    return [Arm(target, penalty) for target in targets]


def taught(*taught_of: tuple[str, Target, float, int]) -> Cells:
    cells = Cells()
    for task, target, score, times in taught_of:
        for _ in range(times):
            cells.learn(task, target, score)
    return cells


def decisions(made: Policy, among: list[Arm], number: int, world: dict[Target, float], seed: int = 1) -> list[Choice]:
    """So many decisions and their outcomes, in a world where each model serves with that probability."""
    chance = random.Random(seed)
    choices = []
    for step in range(number):
        choice = made.decide(TASK, among, seed ^ step)
        made.took(TASK, choice)
        made.cells.learn(TASK, choice.chosen, float(chance.random() < world[choice.chosen]))
        choices.append(choice)
    return choices


class TestCells:
    def test_what_nobody_has_seen_is_as_its_quality_says(self) -> None:
        """Without outcomes the mean is the catalogue's quality, or one half."""
        cells = Cells()
        assert cells.posterior(TASK, GOOD, 0.8).mean == pytest.approx(0.8)
        assert cells.posterior(TASK, GOOD).mean == pytest.approx(0.5)

    def test_a_task_leans_on_its_model(self) -> None:
        """A model that served one task well is thought better of in another, and less surely so than there."""
        cells = taught((TASK, GOOD, 1.0, 40))
        assert cells.posterior(OTHER, GOOD).mean > 0.8
        assert cells.posterior(TASK, GOOD).mean > cells.posterior(OTHER, GOOD).mean
        assert cells.posterior(TASK, GOOD).sigma < cells.posterior(OTHER, GOOD).sigma

    @given(SCORES, st.floats(0, 1))
    def test_a_mean_is_one_of_a_score(self, scores: list[float], quality: float) -> None:
        """Whatever is reported, means lie between 0 and 1 and no cell grows for ever."""
        cells = Cells()
        for score in scores:
            cells.learn(TASK, GOOD, score)
        assert 0 <= cells.posterior(TASK, GOOD, quality).mean <= 1
        assert all(cell.good + cell.bad <= 801 for _, cell in cells)

    @given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 1))
    def test_a_corrected_outcome_counts_as_if_it_had_been_the_first(
        self, wrong: float, right: float, weight: float
    ) -> None:
        """Another report of the same answer takes the place of the former one."""
        corrected, told_once = Cells(), Cells()
        corrected.learn(TASK, GOOD, wrong, weight)
        corrected.correct(TASK, GOOD, Outcome(wrong, weight), Outcome(right, weight))
        told_once.learn(TASK, GOOD, right, weight)
        means = [cells.posterior(TASK, GOOD).mean for cells in (corrected, told_once)]
        assert means[0] == pytest.approx(means[1], abs=1e-6)

    def test_cells_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The longest unused go first."""
        monkeypatch.setattr(cells_module, "MOST_CELLS", 8)
        cells = Cells()
        for number in range(20):
            cells.learn(TASK, Target("a", str(number)), 1.0)
        assert len(cells) == 8
        assert cells.count(TASK, Target("a", "19")) == 1
        assert cells.count(TASK, Target("a", "0")) == 0


class TestPolicy:
    def test_the_best_is_asked(self) -> None:
        """Where exploring is not allowed the best mean less its penalty is asked, at every seed."""
        made = policy(cells=taught((TASK, GOOD, 0.9, 30), (TASK, POOR, 0.5, 30)))
        assert {made.decide(TASK, arms(POOR, GOOD), seed, barred="local").chosen for seed in range(50)} == {GOOD}
        dear = [Arm(GOOD, 0.9), Arm(POOR, 0.0)]
        assert made.decide(TASK, dear, 1, barred="local").chosen == POOR

    def test_equal_seeds_make_equal_choices(self) -> None:
        """The same requests in the same order are decided alike."""
        world = {GOOD: 0.8, POOR: 0.6, THIRD: 0.7}
        runs = [decisions(policy(), arms(GOOD, POOR, THIRD), 200, world) for _ in range(2)]
        assert [choice.chosen for choice in runs[0]] == [choice.chosen for choice in runs[1]]

    @pytest.mark.parametrize(("share", "first"), [(0.05, 20), (0.0, 20), (0.1, 0), (0.01, 5)])
    def test_exploration_is_capped(self, share: float, first: int) -> None:
        """Never more than the share of the decisions and so many for each model; none at a share of 0."""
        made = policy(Rules(explore_share=share, explore_first=first))
        world = {GOOD: 0.55, POOR: 0.5, THIRD: 0.5}
        choices = decisions(made, arms(*world), 1000, world)
        explored = sum(choice.explored for choice in choices)
        assert explored <= (share * 1000 + first * len(world) if share else 0)
        assert explored or not share

    def test_a_decision_alone_counts_nothing(self) -> None:
        """A dry run leaves cells and counts as they were."""
        made = policy()
        for seed in range(100):
            made.decide(TASK, arms(GOOD, POOR), seed)
        assert (made.counts.decisions, made.counts.explored, len(made.cells)) == (0, 0, 0)

    def test_who_is_far_behind_is_left_alone(self) -> None:
        """A model that is surely worse by more than the margin is never looked at again."""
        made = policy(cells=taught((TASK, GOOD, 1.0, 200), (TASK, POOR, 0.0, 200)))
        assert not any(made.decide(TASK, arms(GOOD, POOR), seed).explored for seed in range(300))

    @pytest.mark.parametrize("seed", range(5))
    def test_a_model_that_becomes_worse_is_left_and_found_again(self, seed: int) -> None:
        """Within 300 requests of the task after it degraded, and within 600 after it is well again."""
        made = policy()
        among = arms(GOOD, POOR, THIRD)
        decisions(made, among, 600, {GOOD: 0.9, POOR: 0.6, THIRD: 0.3}, seed)
        assert made.decide(TASK, among, 0, barred="local").chosen == GOOD
        decisions(made, among, 300, {GOOD: 0.1, POOR: 0.6, THIRD: 0.3}, seed + 100)
        assert made.decide(TASK, among, 0, barred="local").chosen == POOR
        decisions(made, among, 1500, {GOOD: 0.9, POOR: 0.6, THIRD: 0.3}, seed + 200)
        assert made.decide(TASK, among, 0, barred="local").chosen == GOOD
