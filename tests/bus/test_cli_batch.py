"""cortexctl batch: order, failures, going on after an end of any kind, and never paying twice."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from cortexd.client import Client
from simulated import Behaviour
from tests.bus.served import (  # noqa: F401
    START_S,
    Cortexctl,
    Served,
    at_terminal,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    served_fixture,
    served_of_module_fixture,
)
from tests.eventually import assert_eventually

USAGE, NO_DAEMON, LIMIT, PARTLY, INTERRUPTED = 2, 4, 6, 8, 130


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def prompts(name: str, count: int) -> str:
    return lines(*({"id": f"{name}{number}", "prompt": f"{name} {number}"} for number in range(count)))


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def sent(served: Served) -> int:
    return served.simulated.counts("claude").requests


class TestAnswers:
    def test_in_order(self, served: Served, cortexctl: Cortexctl) -> None:
        """Answers come in the input's order, although the first takes longest."""
        served.simulated.behave("claude", Behaviour(times=1, delay_s=0.5), Behaviour())
        done = cortexctl("batch", "--parallel", "4", input=prompts("order", 10))
        rows = rows_of(done.stdout)
        assert (done.returncode, done.stderr) == (0, "")
        assert [row["id"] for row in rows] == [f"order{number}" for number in range(10)]
        assert rows[3]["content"] == "[claude-sonnet-5-5] You said: order 3"
        assert rows[3]["metadata"]["cost_nano_usd"] > 0

    def test_what_a_line_may_say(self, served: Served, cortexctl: Cortexctl) -> None:
        """Lines have prompts or messages, their own task type and options; the command line says the rest."""
        text = lines(
            {"prompt": "a"},
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "b"}]},
            {"prompt": "c", "task_type": "code_generation"},
            {"prompt": "d", "provider": "kimi_k2", "request_id": "mine"},
        )
        rows = rows_of(cortexctl("batch", "--model", "claude-opus-5-5", "--no-fallback", input=text).stdout)
        assert [row["line"] for row in rows] == [1, 2, 3, 4]
        assert rows[0]["content"].startswith("[claude-opus-5-5]")
        assert rows[3]["request_id"] == "mine"

    def test_lines_that_fail(self, served: Served, cortexctl: Cortexctl) -> None:
        """What is no request fails alone, with the line and the reason, and the status says that some did."""
        text = 'nonsense\n\n{"prompt": 5}\n{"prompt": "x", "id": 7, "nonsense": 1}\n{"prompt": "good"}\n'
        done = cortexctl("batch", input=text)
        rows = rows_of(done.stdout)
        assert done.returncode == PARTLY
        assert done.stderr == "cortexctl: 3 of 4 requests failed; their lines say why\n"
        assert [row["line"] for row in rows] == [1, 3, 4, 5]
        assert [row.get("error", {}).get("name") for row in rows] == ["InvalidArgument"] * 3 + [None]
        assert "line 1" in rows[0]["error"]["message"]
        assert "nonsense" in rows[2]["error"]["message"]

    def test_answers_before_the_input_ends(self, served: Served) -> None:
        """A program that waits for one answer before it writes the next line gets it."""
        argv = cortexctl_argv(served.address, "batch")
        with subprocess.Popen(
            argv, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for word in ("one", "two"):
                process.stdin.write(lines({"prompt": word}))
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["content"].endswith(word)
            process.stdin.close()
            assert process.wait(START_S) == 0

    def test_so_many_at_a_time(self, served: Served, cortexctl: Cortexctl) -> None:
        """No more than --parallel are asked at a time."""
        served.simulated.behave("claude", Behaviour(delay_s=0.05))
        assert cortexctl("batch", "--parallel", "3", input=prompts("many", 12)).returncode == 0
        assert served.simulated.counts("claude").max_concurrent == 3

    def test_progress(self, served: Served, tmp_path: Path) -> None:
        """At a terminal a bar shows how far it is, and a line what it took."""
        (tmp_path / "in").write_text(prompts("bar", 5))
        words = ["batch", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
        status, screen = at_terminal(served.address, words)
        assert status == 0
        assert "5/5" in screen
        assert "5 answered, $0.00" in screen.splitlines()[-1]

    def test_no_daemon(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Without a daemon it says so at once, and leaves no file behind."""
        served.stop()
        done = cortexctl("batch", "--output", str(tmp_path / "out"), input=prompts("none", 2))
        assert done.returncode == NO_DAEMON
        assert not (tmp_path / "out").exists()


class TestPayingOnce:
    def test_same_batch_again(self, served: Served, cortexctl: Cortexctl) -> None:
        """Run again the same batch gets the same answers, and no provider hears of it."""
        first, second = (cortexctl("batch", input=prompts("again", 6)).stdout for _ in range(2))
        assert first == second
        assert sent(served) == 6

    def test_other_run_id(self, served: Served, cortexctl: Cortexctl) -> None:
        """Another --run-id is another run; ids are made of it and the lines' own."""
        rows = rows_of(cortexctl("batch", "--run-id", "r1", input=prompts("run", 2) + lines({"prompt": "x"})).stdout)
        assert [row["request_id"] for row in rows] == ["r1.run0", "r1.run1", "r1.3"]
        cortexctl("batch", "--run-id", "r2", input=prompts("run", 2))
        assert sent(served) == 5

    def test_file_is_not_lost(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """A file with answers is neither overwritten nor gone on with unless that is said."""
        words = ["batch", "--output", str(tmp_path / "out")]
        assert cortexctl(*words, input=prompts("file", 2)).returncode == 0
        refused = cortexctl(*words, input=prompts("file", 2))
        assert refused.returncode == USAGE
        assert "--resume" in refused.stderr
        assert cortexctl(*words, "--overwrite", input=prompts("other", 1)).returncode == 0
        assert [row["id"] for row in rows_of((tmp_path / "out").read_text())] == ["other0"]
        (tmp_path / "out").write_text("something else\n")
        assert cortexctl(*words, "--resume", input=prompts("file", 2)).returncode == USAGE
        assert (tmp_path / "out").read_text() == "something else\n"

    def test_resume_after_a_restart(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """With --resume what the file has is not asked again, also when the service holds nothing any more."""
        out = tmp_path / "out"
        words = ["batch", "--output", str(out), "--resume"]
        assert cortexctl(*words, input=prompts("restart", 4)).returncode == 0
        served.stop()
        served.start()
        assert cortexctl(*words, input=prompts("restart", 6)).returncode == 0
        assert [row["id"] for row in rows_of(out.read_text())] == [f"restart{number}" for number in range(6)]
        assert sent(served) == 6

    def test_what_broke_off(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """A half line at the file's end, as a crash leaves it, is dropped; its answer costs nothing again."""
        out = tmp_path / "out"
        words = ["batch", "--output", str(out), "--resume"]
        cortexctl(*words, input=prompts("half", 3))
        whole = out.read_text()
        out.write_text(whole[:-20])
        assert cortexctl(*words, input=prompts("half", 3)).returncode == 0
        assert (out.read_text(), sent(served)) == (whole, 3)

    def test_what_failed(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """What failed is tried again, and the file is in the input's order with one line for each."""
        out = tmp_path / "out"
        words = ["batch", "--no-fallback", "--parallel", "1", "--provider", "claude", "--output", str(out), "--resume"]
        served.simulated.behave("claude", Behaviour(times=1, status=400), Behaviour())
        assert cortexctl(*words, input=prompts("fail", 4)).returncode == PARTLY
        assert "error" in rows_of(out.read_text())[0]
        assert cortexctl(*words, input=prompts("fail", 4)).returncode == 0
        rows = rows_of(out.read_text())
        assert [(row["id"], "content" in row) for row in rows] == [(f"fail{number}", True) for number in range(4)]
        assert sent(served) == 5

    def test_interrupted(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Ctrl-C cancels upstream what is under way and keeps what has come; --resume does the rest."""
        out = tmp_path / "out"
        (tmp_path / "in").write_text(prompts("stop", 12))
        words = ["batch", str(tmp_path / "in"), "--parallel", "2", "--output", str(out)]
        served.simulated.behave("claude", Behaviour(times=4), Behaviour(delay_s=30))
        with subprocess.Popen(cortexctl_argv(served.address, *words), env=environment(), stderr=-3) as process:
            assert_eventually(lambda: sent(served) == 6, START_S)
            process.send_signal(signal.SIGINT)
            assert process.wait(START_S) == INTERRUPTED
        with Client(served.address) as client:
            assert_eventually(lambda: client.requests() == [])
        assert sum("content" in row for row in rows_of(out.read_text())) == 4
        served.simulated.behave("claude", Behaviour())
        assert cortexctl(*words, "--resume").returncode == 0
        assert [row["id"] for row in rows_of(out.read_text())] == [f"stop{number}" for number in range(12)]
        assert sent(served) == 6 + 8

    def test_killed(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """kill -9 loses nothing that is paid for: what was under way goes on, and --resume fetches it."""
        out = tmp_path / "out"
        (tmp_path / "in").write_text(prompts("kill", 6))
        words = ["batch", str(tmp_path / "in"), "--parallel", "2", "--output", str(out)]
        served.simulated.behave("claude", Behaviour(times=2), Behaviour(delay_s=0.5))
        with subprocess.Popen(cortexctl_argv(served.address, *words), env=environment()) as process:
            assert_eventually(lambda: sent(served) == 4, START_S)
            process.kill()
        assert cortexctl(*words, "--resume").returncode == 0
        assert len(rows_of(out.read_text())) == 6
        assert sent(served) == 6

    def test_answers_that_are_lost(self, served: Served, cortexctl: Cortexctl) -> None:
        """An answer that nobody holds is paid for again only where --ask-again says so."""
        assert cortexctl("batch", input=prompts("lost", 2)).returncode == 0
        served.stop()
        served.start()
        done = cortexctl("batch", input=prompts("lost", 2))
        assert done.returncode == PARTLY
        assert "--ask-again" in done.stderr
        assert sent(served) == 2
        assert cortexctl("batch", "--ask-again", input=prompts("lost", 2)).returncode == 0
        assert sent(served) == 4


class TestServiceInTrouble:
    def test_restart_in_the_middle(self, served: Served) -> None:
        """A service that restarts is waited for; every line has its answer."""
        served.simulated.behave("claude", Behaviour(delay_s=0.05))
        argv = cortexctl_argv(served.address, "batch", "--parallel", "2")
        with subprocess.Popen(
            argv, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(prompts("trouble", 30))
            process.stdin.close()
            assert_eventually(lambda: sent(served) > 4, START_S)
            served.stop()
            served.start()
            assert process.stdout is not None
            rows = rows_of(process.stdout.read())
            process.wait(START_S)
        assert len(rows) == 30
        assert all("content" in row or row["error"]["name"] in ("AnswerExpired", "Cancelled") for row in rows)

    def test_budget(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Where a budget is exhausted it ends with that, and --resume goes on once there is room."""
        out = tmp_path / "out"
        words = ["batch", "--max-tokens", "50", "--output", str(out), "--resume"]
        assert cortexctl("budget", "set", "--machine", "--day", "0").returncode == 0
        done = cortexctl(*words, input=prompts("budget", 5))
        assert done.returncode == LIMIT
        assert "or wait until" in done.stderr
        assert sent(served) == 0
        assert cortexctl("budget", "remove", "--machine").returncode == 0
        assert cortexctl(*words, input=prompts("budget", 5)).returncode == 0
        assert len(rows_of(out.read_text())) == 5

    def test_budget_that_is_reserved(self, served: Served, cortexctl: Cortexctl) -> None:
        """A budget that is merely reserved for the lines under way stops nothing: the others wait for their turn."""
        served.simulated.behave("claude", Behaviour(delay_s=0.1))
        cortexctl("budget", "set", "--machine", "--day", "100")
        [budget] = json.loads(cortexctl("budget", "--json").stdout)
        try:
            cortexctl("budget", "set", "--each-user", "--day", "100")  # earlier tests have cut off more than a share
            cortexctl("budget", "set", "--machine", "--day", f"{budget['spent_usd'] + 0.0017:.6f}")
            done = cortexctl("batch", "--max-tokens", "50", "--no-fallback", input=prompts("reserved", 6))
        finally:
            cortexctl("budget", "remove", "--machine")
            cortexctl("budget", "remove", "--each-user")
        assert (done.returncode, len(rows_of(done.stdout))) == (0, 6), done.stderr
        assert served.simulated.counts("claude").max_concurrent < 6
