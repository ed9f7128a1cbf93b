"""bench/replay.py and bench/routing.py: files of outcomes, and what they are made into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import replay, routing
from cortexd.routing.learned import Policy

HEAD = "id,task,prompt_chars,score:dear,score:cheap,cost:dear,cost:cheap"


def written(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "outcomes.csv"
    path.write_text("\n".join((head, *rows, "")), encoding="utf-8")
    return path


def two_tasks(folder: Path, number: int = 200) -> Path:
    """The dear model serves code alone, the cheap one serves chat alone; it costs a quarter."""
    rows = [f"{step},{'code,10,1,0' if step % 2 else 'chat,10,0,1'},4,1" for step in range(number)]
    return written(folder, *rows)


class TestWorld:
    def test_a_file_is_read_in_parts_of_the_dearest_cost(self, tmp_path: Path) -> None:
        """Scores stay as they are; the dearest model's mean cost is 1."""
        world = replay.World.read(written(tmp_path, "a,code,10,1,0.5,6,1", "b,chat,10,0,1,2,1"))
        assert world.models == ("dear", "cheap")
        assert world.prices == (1.0, 0.25)
        assert world.prompts[0] == replay.Prompt("a", "code", (1.0, 0.5), (1.5, 0.25))

    @pytest.mark.parametrize(
        ("head", "row"),
        [
            ("id,task,prompt_chars", "a,code,10"),
            ("id,task,score:dear", "a,code,1"),
            ("id,score:dear,cost:dear", "a,1,1"),
            ("id,task,score:dear,cost:dear", "a,code,good,1"),
            ("id,task,score:dear,cost:dear", "a,code,1.5,1"),
            ("id,task,score:dear,cost:dear", "a,code,nan,1"),
            ("id,task,score:dear,cost:dear", "a,code,1,-1"),
            ("id,task,score:dear,cost:dear", "a,code,1,inf"),
            ("id,task,score:dear,cost:dear", "a,code,1"),
        ],
    )
    def test_another_form_is_refused(self, tmp_path: Path, head: str, row: str) -> None:
        """Missing columns, scores that are none, and costs below nothing."""
        with pytest.raises(replay.BadFile):
            replay.World.read(written(tmp_path, row, head=head))

    def test_a_long_prompt_is_read(self, tmp_path: Path) -> None:
        """Longer than the csv module's own limit."""
        head = "id,task,prompt,score:dear,cost:dear"
        assert len(replay.World.read(written(tmp_path, f"a,code,{'x' * 200_000},1,1", head=head)).prompts) == 1


class TestReplay:
    def test_a_fixed_model_and_who_knows_all(self, tmp_path: Path) -> None:
        """Utility is the mean score less lambda times the mean cost."""
        world = replay.World.read(two_tasks(tmp_path))
        assert replay.fixed(world, 0.2, 0).utility == pytest.approx(0.5 - 0.2)
        assert replay.fixed(world, 0.2, 1).utility == pytest.approx(0.5 - 0.05)
        assert replay.oracle(world, 0.2).utility == pytest.approx(1 - 0.2 * (1 + 0.25) / 2)

    def test_what_is_learned_is_better_than_one_model_for_all(self, tmp_path: Path) -> None:
        """Each task has its own best model, which it finds."""
        world = replay.World.read(two_tasks(tmp_path, 1000))
        found = replay.learned(world, 0.1, seed=1)
        assert found.utility > replay.fixed(world, 0.1, 1).utility + 0.3
        assert found.explored <= 0.05 * 1000 + 20 * 2
        assert len(found.regret) == 20

    def test_without_outcomes_nothing_is_learned(self, tmp_path: Path) -> None:
        """Where no answer is reported on, the cheaper of two unknown models is asked."""
        world = replay.World.read(two_tasks(tmp_path, 1000))
        assert replay.learned(world, 0.2, seed=1, feedback=0.0).score == pytest.approx(0.5, abs=0.05)

    def test_the_daemon_s_own_policy_decides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every prompt is decided by cortexd's class, no copy of it."""
        decided: list[str] = []
        decide = Policy.decide

        def listening(self: Policy, task: str, *given: object, **named: object) -> object:
            decided.append(task)
            return decide(self, task, *given, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Policy, "decide", listening)
        replay.learned(replay.World.read(two_tasks(tmp_path)), 0.1, seed=1)
        assert sorted(decided) == ["chat"] * 100 + ["code"] * 100


class TestCommand:
    def test_json_is_one_object(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With the figures that others read, by dotted names."""
        assert routing.main([str(two_tasks(tmp_path)), "--lambda", "0.1", "--seeds", "2", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {"learned.mean_utility", "learned.sd", "learned.exploration_share", "learned.regret"} <= found.keys()
        assert {"best_fixed.mean_utility", "random.mean_utility", "oracle.mean_utility"} <= found.keys()
        assert {"saved_at_95", "decision_us_p50", "decision_us_p99"} <= found.keys()
        assert found["best_fixed.model"] == "cheap"
        assert (found["file.prompts"], found["file.tasks"], found["file.models"], found["seeds"]) == (200, 2, 2, 2)

    def test_people_get_a_line_each(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The same figures as the object has."""
        path = str(two_tasks(tmp_path, 40))
        assert routing.main([path, "--seeds", "1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert routing.main([path, "--seeds", "1", "--json"]) == 0
        assert [line.split()[0] for line in lines] == list(json.loads(capsys.readouterr().out))

    @pytest.mark.parametrize("content", [b"id,task\n", b"\xff\xfe\x00", HEAD.encode() + b"\n", b""])
    def test_a_bad_file_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
        """One line on standard error, and exit status 1; an empty table as well."""
        path = tmp_path / "bad.csv"
        path.write_bytes(content)
        assert routing.main([str(path), "--json"]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("bench.routing: ")
        assert len(told.err.splitlines()) == 1

    @pytest.mark.parametrize("wrong", [("--lambda", "-1"), ("--seeds", "0"), ("--feedback", "2"), ("--lambda", "much")])
    def test_wrong_arguments_are_refused(self, tmp_path: Path, wrong: tuple[str, str]) -> None:
        """With status 2, before anything is replayed."""
        with pytest.raises(SystemExit) as ended:
            routing.main([str(two_tasks(tmp_path)), *wrong])
        assert ended.value.code == 2
