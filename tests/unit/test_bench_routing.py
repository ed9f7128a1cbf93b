"""bench/outcomes.py, replay.py and routing.py: files of outcomes, and what they are made into."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bench import outcomes, replay, routing
from bench.cases import routing as case
from cortexd.domain.messages import Strategy
from cortexd.routing.learned import Policy
from cortexd.routing.strategies import ranking

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
        world = outcomes.World.read(written(tmp_path, "a,code,10,1,0.5,6,1", "b,chat,10,0,1,2,1"))
        assert world.models == ("dear", "cheap")
        assert world.prices == (1.0, 0.25)
        prompt = world.prompts[0]
        assert (prompt.id, prompt.task, prompt.scores, prompt.costs) == ("a", "code", (1.0, 0.5), (1.5, 0.25))

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
            ("id,task,score:dear,cost:dear", "a,code,1,1,1"),
            ("id,task,score:dear,cost:dear,cost:dear", "a,code,1,1,1"),
        ],
    )
    def test_another_form_is_refused(self, tmp_path: Path, head: str, row: str) -> None:
        """Missing columns, scores that are none, and costs below nothing."""
        with pytest.raises(outcomes.BadFile):
            outcomes.World.read(written(tmp_path, row, head=head))

    @pytest.mark.parametrize(
        "content",
        [
            HEAD + "\r\na,code,10,1,0.5,6,1\r\nb,chat,10,0,1,2,1\r\n",
            "\ufeff" + HEAD + "\n\na,code,10,1,0.5,6,1\n\nb,chat,10,0,1,2,1",
            '"id","task","prompt_chars","score:dear","score:cheap","cost:dear","cost:cheap"\n'
            '"a","code","10","1","0.5","6","1"\nb,chat,10,"0"," 1","2",1\n',
            "cost:cheap,prompt,cost:dear,task,score:dear,id,score:cheap\n"
            '1,"two\nlines, and ""more""",6,code,1,a,0.5\n1,,2,chat,0,b,1\n',
        ],
        ids=["CRLF", "BOM and blank lines", "quoted", "another order, with prompts"],
    )
    def test_the_same_in_other_words(self, tmp_path: Path, content: str) -> None:
        """As spreadsheets and other programs write it."""
        path = tmp_path / "other.csv"
        path.write_bytes(content.encode())
        assert outcomes.World.read(path) == outcomes.World.read(
            written(tmp_path, "a,code,10,1,0.5,6,1", "b,chat,10,0,1,2,1")
        )

    def test_a_blank_score_names_its_line(self, tmp_path: Path) -> None:
        """Nobody asked that model: the line in which the row begins, after one with a prompt of two lines."""
        head = "id,task,prompt,score:dear,score:cheap,cost:dear,cost:cheap"
        path = written(tmp_path, 'a,code,"two\nlines",1,1,1,1', "b,code,short,1,,1,1", head=head)
        with pytest.raises(outcomes.BadFile, match=r"line 4: score:cheap is blank"):
            outcomes.World.read(path)

    def test_equal_ids_are_drawn_for_one_by_one(self, tmp_path: Path) -> None:
        """A file whose ids say nothing does not repeat one draw for ever; nor is a task without a name lost."""
        world = outcomes.World.read(written(tmp_path, *["x,,10,1,0,1,1"] * 50))
        assert len({prompt.seed for prompt in world.prompts}) == 50
        assert {prompt.task for prompt in world.prompts} == {"none"}

    def test_of_a_long_file_a_sample_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As many rows as are replayed, from all over the file, and the same ones each time."""
        monkeypatch.setattr(outcomes, "MOST_PROMPTS", 100)
        path = two_tasks(tmp_path, 2000)
        world = outcomes.World.read(path)
        assert (world.rows, len(world.prompts)) == (2000, 100)
        assert {int(prompt.id) // 500 for prompt in world.prompts} == {0, 1, 2, 3}
        assert outcomes.World.read(path) == world

    def test_a_long_prompt_is_read(self, tmp_path: Path) -> None:
        """Longer than the csv module's own limit."""
        head = "id,task,prompt,score:dear,cost:dear"
        assert len(outcomes.World.read(written(tmp_path, f"a,code,{'x' * 200_000},1,1", head=head)).prompts) == 1


class TestReplay:
    def test_a_fixed_model_and_who_knows_all(self, tmp_path: Path) -> None:
        """Utility is the mean score less lambda times the mean cost."""
        world = outcomes.World.read(two_tasks(tmp_path))
        assert replay.fixed(world, 0.2, 0).utility == pytest.approx(0.5 - 0.2)
        assert replay.fixed(world, 0.2, 1).utility == pytest.approx(0.5 - 0.05)
        assert replay.oracle(world, 0.2).utility == pytest.approx(1 - 0.2 * (1 + 0.25) / 2)

    def test_what_is_learned_is_better_than_one_model_for_all(self, tmp_path: Path) -> None:
        """Each task has its own best model, which it finds."""
        world = outcomes.World.read(two_tasks(tmp_path, 1000))
        found = replay.learned(world, 0.1, seed=1)
        assert found.utility > replay.fixed(world, 0.1, 1).utility + 0.3
        assert found.explored <= 0.05 * 1000 + 20 * 2
        assert len(found.regret) == 20

    def test_without_outcomes_nothing_is_learned(self, tmp_path: Path) -> None:
        """Where no answer is reported on, the cheaper of two unknown models is asked."""
        world = outcomes.World.read(two_tasks(tmp_path, 1000))
        assert replay.learned(world, 0.2, seed=1, feedback=0.0).score == pytest.approx(0.5, abs=0.05)

    def test_the_daemon_s_own_policy_decides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every prompt is decided by cortexd's class, no copy of it."""
        decided: list[str] = []
        decide = Policy.decide

        def listening(self: Policy, task: str, *given: object, **named: object) -> object:
            decided.append(task)
            return decide(self, task, *given, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Policy, "decide", listening)
        replay.learned(outcomes.World.read(two_tasks(tmp_path)), 0.1, seed=1)
        assert sorted(decided) == ["chat"] * 100 + ["code"] * 100

    @pytest.mark.parametrize(("strategy", "first"), [(Strategy.TABLE, 0), (Strategy.COST, 1), (Strategy.QUALITY, 1)])
    def test_the_daemon_s_other_strategies(self, tmp_path: Path, strategy: Strategy, first: int) -> None:
        """The table has the file's order, the others the likely cost: the file has no grades."""
        world = outcomes.World.read(two_tasks(tmp_path))
        assert replay.chosen(world, 0.2, strategy).utility == replay.fixed(world, 0.2, first).utility

    @pytest.mark.parametrize(
        "rows",
        [
            ["a,code,10,1,0,1,1"],
            ["a,code,10,1,0,0,0", "b,code,10,0,1,0,0"],
            [f"{step},task-{step},10,0.5,0.75,1,0" for step in range(60)],
        ],
        ids=["one row", "nothing costs", "as many tasks as rows"],
    )
    def test_small_and_odd_worlds(self, tmp_path: Path, rows: list[str]) -> None:
        """All figures are there, and finite."""
        found = routing.figures(outcomes.World.read(written(tmp_path, *rows)), 0.1, 2)
        assert 0 <= float(str(found["learned.mean_score"])) <= 1
        json.dumps(found, allow_nan=False)

    def test_one_model_is_always_asked(self, tmp_path: Path) -> None:
        """There is nobody to explore."""
        head = "id,task,score:only,cost:only"
        world = outcomes.World.read(written(tmp_path, *[f"{step},a,1,1" for step in range(50)], head=head))
        assert replay.learned(world, 0.1, seed=0).utility == pytest.approx(0.9)
        assert replay.learned(world, 0.1, seed=0).explored == 0


class TestCommand:
    def test_json_is_one_object(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With the figures that others read, by dotted names."""
        assert routing.main([str(two_tasks(tmp_path)), "--lambda", "0.1", "--seeds", "2", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {"learned.mean_utility", "learned.sd", "learned.exploration_share", "learned.regret"} <= found.keys()
        assert {"best_fixed.mean_utility", "random.mean_utility", "oracle.mean_utility"} <= found.keys()
        assert {"saved_at_95", "decision_us_p50", "decision_us_p99", "fixed.dear.sd", "random.sd"} <= found.keys()
        assert {f"{strategy}.mean_utility" for strategy in Strategy} <= found.keys()
        assert (found["latency.mean_utility"], found["latency.note"]) == (None, "the file has no times")
        assert found["best_fixed.model"] == "cheap"
        assert (found["file.prompts"], found["file.tasks"], found["file.models"], found["seeds"]) == (200, 2, 2, 2)

    def test_people_get_tables(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A line for each way of choosing, one for each other figure, and nothing that the object has not."""
        path = str(two_tasks(tmp_path, 40))
        assert routing.main([path, "--seeds", "1"]) == 0
        ways, others = (part.splitlines() for part in capsys.readouterr().out.split("\n\n"))
        assert routing.main([path, "--seeds", "1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        firsts = [line.split()[0] for line in ways[1:]]
        assert firsts == [name.removesuffix(".mean_utility") for name in found if name.endswith(".mean_utility")]
        assert {line.split()[0] for line in others} == {
            name for name in found if name.rpartition(".")[0] not in firsts or name.endswith("_95")
            or name.split(".")[-1] in ("explored", "exploration_share", "regret", "model")
        }  # fmt: skip

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


class TestCase:
    def test_decisions_of_twelve_candidates_are_timed(self) -> None:
        """By the daemon's own ranking, which draws."""
        made, candidates = case.stage()
        ranked = ranking(Strategy.LEARNED)(candidates, made, True)
        assert len(ranked) == case.MODELS
        assert {item.standing.why for item in ranked if item.standing} <= {"best", "explored"}
        taken = case.decisions_us(Strategy.LEARNED, made, candidates, 20, random.Random(1))
        assert len(taken) == 20
        assert sorted(taken) == taken
