"""Measuring an older commit beside today's build: where it stands, whose turn it is, what is said of both."""

import subprocess
from pathlib import Path

import pytest

from bench import report
from bench.baseline import LOCK, CannotBuildBaseline, build_in, make
from bench.figures import Case, Figure
from bench.turns import Turns, Values, flat, take

CASE = Case(
    "x",
    "an example",
    (
        Figure("x.idle_mb", "MB", "memory", of_baseline=0.75),
        Figure("x.per_s", "/s", "rate"),
        Figure("x.per_s_ratio", "", "rate over the SDK's"),
        Figure("x.failures", "", "how many failed"),
    ),
    lambda _lab: {},
)


class Lab:
    """What a case was seen to use."""

    started_daemon = False


def _values(idle_mb: float, per_s: float = 10.0) -> Values:
    return {"x.idle_mb": idle_mb, "x.per_s": per_s, "x.per_s_ratio": 0.5, "x.failures": 0}


class TestTurns:
    def test_builds_take_turns_and_begin_in_turns(self) -> None:
        """Today, baseline, baseline, today: what drifts on the machine hits both."""
        lab, order = Lab(), []

        def ran(side: str) -> Values:
            lab.started_daemon = True
            order.append(side)
            return _values(1)

        taken = take(CASE, 2, lambda _case: ran("today"), lambda _case: ran("baseline"), lab)
        assert order == ["today", "baseline", "baseline", "today"]
        assert (len(taken.today), len(taken.baseline)) == (2, 2)

    def test_a_case_without_the_daemon_has_no_baseline(self) -> None:
        """It is run by itself; so it is where no baseline is wanted."""
        lab = Lab()
        taken = take(CASE, 2, lambda _case: _values(1), lambda _case: _values(2), lab)
        assert (len(taken.today), taken.baseline) == (2, [])
        lab.started_daemon = True
        assert take(CASE, 1, lambda _case: _values(1), None, lab).baseline == []

    def test_a_build_that_cannot_be_measured_is_left_alone(self) -> None:
        """Its turns end with the first failure, and the other build's go on."""
        lab, asked = Lab(), []

        def today(_case: Case) -> Values:
            lab.started_daemon = True
            return _values(1)

        taken = take(CASE, 3, today, lambda _case: asked.append("baseline"), lab)
        assert (len(taken.today), taken.baseline, asked) == (3, [], ["baseline"])


class TestFigures:
    def test_ratios_are_turn_by_turn(self) -> None:
        """The median of the turns' ratios, and the extremes; none to a baseline of 0; no key says two things."""
        turns = Turns(CASE, [_values(3, 20), _values(8, 20)], [_values(6), _values(8)])
        declared = [figure.name for figure in CASE.figures]
        values = flat([turns], declared)
        assert (values["x.idle_mb"], values["x.idle_mb_baseline"]) == (5.5, 7)
        assert [values[f"x.idle_mb_ratio{end}"] for end in ("", "_min", "_max")] == [0.75, 0.5, 1]
        assert (values["x.per_s_ratio"], values["x.per_s_ratio_to_baseline"]) == (0.5, 2)
        assert not [name for name in values if name.startswith("x.failures_ratio")]

    def test_the_table_shows_both_builds_and_judges_the_ratio(self) -> None:
        """A line has both medians, their extremes and the ratio, and a target where there is one."""
        turns = Turns(CASE, [_values(3, 20), _values(8, 20)], [_values(6), _values(8)])
        lines = [line.split("  ") for line in report.beside_baseline([turns]).splitlines()]
        cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
        assert cells[0] == ["figure", "baseline", "today", "ratio", "target", "met"]
        assert cells[1] == ["x.idle_mb", "7 MB (6 – 8)", "5.5 MB (3 – 8)", "0.75 (0.5 – 1)", "≤ 0.75", "yes"]
        assert cells[2] == ["x.per_s", "10 /s (10 – 10)", "20 /s (20 – 20)", "2 (2 – 2)"]


def _git(place: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", "-C", place, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit, and a change after it."""
    (tmp_path / "cortexd").mkdir()
    for name in (LOCK, "cortexd/__init__.py"):
        (tmp_path / name).write_text("# before\n")
    for command in ("init -q", "add .", "commit -q -m before"):
        _git(tmp_path, *command.split())
    (tmp_path / "cortexd/__init__.py").write_text("# after\n")
    return tmp_path


class TestBaseline:
    def test_a_commit_stands_in_a_worktree_of_its_own(self, checkout: Path) -> None:
        """As it was, below the checkout, made once, with this interpreter where the libraries are the same."""
        tree = make("HEAD", checkout)
        assert tree.is_relative_to(checkout / ".cache/bench/baseline")
        assert (tree / "cortexd/__init__.py").read_text() == "# before\n"
        assert make(_git(checkout, "rev-parse", "HEAD"), checkout) == tree
        assert not (tree / ".venv").exists()
        assert build_in(tree).checkout == tree

    def test_one_that_was_deleted_by_hand_is_made_anew(self, checkout: Path) -> None:
        """Git still lists the worktree, which is no reason to refuse it."""
        tree = make("HEAD", checkout)
        subprocess.run(["rm", "-r", tree], check=True)
        assert (make("HEAD", checkout) / LOCK).exists()

    def test_an_unknown_commit_is_refused(self, checkout: Path) -> None:
        """By its name."""
        with pytest.raises(CannotBuildBaseline, match="no commit nothing-such"):
            make("nothing-such", checkout)
