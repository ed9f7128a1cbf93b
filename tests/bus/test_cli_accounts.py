"""cortexctl's smaller commands: requests, outcomes, usage, budgets, wishes, providers, configuration."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.client import Client
from cortexd.config import load_config
from cortexd.domain.steps import step_of
from simulated import Behaviour, Fault
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

OTHER, USAGE, PROVIDER_FAILED, LIMIT = 1, 2, 5, 6
TODAY = date.today().isoformat()


@contextmanager
def under_way(served: Served, request_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """A request that a provider takes its time for."""
    served.simulated.behave("claude", Behaviour(delay_s=60))
    argv = cortexctl_argv(served.address, "ask", "--request-id", request_id, "hello")
    with subprocess.Popen(argv, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert_eventually(lambda: served.simulated.counts("claude").active == 1, START_S)
            yield process
        finally:
            process.kill()


class TestRequests:
    def test_list_and_cancel(self, served: Served, cortexctl: Cortexctl) -> None:
        """requests shows what is under way, cancel ends it, and whoever waits for it is told."""
        with under_way(served, "list-1") as asking:
            header, row = cortexctl("requests").stdout.splitlines()
            assert header.split()[:3] == ["request", "task", "state"]
            assert row.split()[:5] == ["list-1", "user_chat", "running", "claude", "claude-sonnet-5-5"]
            assert json.loads(cortexctl("requests", "--json").stdout)[0]["detached"] is True
            done = cortexctl("cancel", "nobody", "list-1")
            assert done.returncode == OTHER
            assert done.stderr.startswith("cortexctl: nobody: ")
            assert asking.wait(START_S) == OTHER
            assert asking.stderr is not None
            assert b"cancelled" in asking.stderr.read()
        assert json.loads(cortexctl("requests", "--json").stdout) == []
        assert_eventually(lambda: served.simulated.counts("claude").client_aborts == 1)

    def test_nothing_under_way(self, served: Served) -> None:
        """A person is told so in words."""
        assert at_terminal(served.address, ["requests"]) == (0, "nothing is under way\n")

    def test_outcome(self, served: Served, cortexctl: Cortexctl) -> None:
        """An outcome is taken for an own request, a score out of range and an unknown request are refused."""
        request_id = json.loads(cortexctl("ask", "--json", "hello").stdout)["request_id"]
        done = cortexctl("outcome", request_id, "0.9", "--reason", "right", "--label", "by=me")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert cortexctl("outcome", request_id, "1.5").returncode == USAGE
        assert cortexctl("outcome", "nobody", "1").returncode == OTHER

    def test_explained_route(self, cortexctl: Cortexctl) -> None:
        """--explain adds the strategy in words to the tables."""
        plain, explained = cortexctl("route", "hello").stdout, cortexctl("route", "--explain", "hello").stdout
        assert "strategy table: in the order of the operator's routing table" in explained
        assert set(plain.splitlines()) <= set(explained.splitlines())
        assert "the cheapest first" in cortexctl("route", "--explain", "--strategy", "cost", "hello").stdout

    def test_explained_figures(self, cortexctl: Cortexctl) -> None:
        """--explain has a row of figures for each candidate, and a dash for what nobody knows."""
        words = ("route", "--strategy", "balanced", "hello")
        decision = json.loads(cortexctl(*words, "--json").stdout)
        shown = cortexctl(*words, "--explain").stdout
        [heading] = [line for line in shown.splitlines() if "tokens in" in line]
        table = shown[shown.index(heading) :].splitlines()[1:]
        assert [line.split()[0] for line in table] == [str(row["rank"]) for row in decision["candidates"]]
        expected = [str(row["output_tokens"]) for row in decision["candidates"]]
        assert [line.split()[3] for line in table] == expected
        assert all(line.split()[-2] == "—" for line in table), "nobody has graded these models"

    def test_explained_outcomes(self, cortexctl: Cortexctl) -> None:
        """By the strategy learned --explain also says where each stands, after an outcome with one more; else not."""
        words = ("route", "--strategy", "learned", "--task", "configuration", "hello")
        first = json.loads(cortexctl(*words, "--json").stdout)["candidates"][0]
        ask = ("ask", "--task", "configuration", "--provider", first["provider"], "--json", "hello")
        request_id = json.loads(cortexctl(*ask).stdout)["request_id"]
        assert cortexctl("outcome", request_id, "1").returncode == 0
        known = json.loads(cortexctl(*words, "--json").stdout)["candidates"]
        [after] = [row for row in known if row["provider"] == first["provider"]]
        assert (after["outcomes"], after["greedy"], after["chosen"]) == (step_of(first["outcomes"] + 1), True, True)
        assert after["outcome_mean"] > first["outcome_mean"]
        shown = cortexctl(*words, "--explain").stdout
        table = shown[shown.index("likely outcome") :].splitlines()[1:]
        assert [line.split()[0] for line in table] == [f"{row['provider']}/{row['model']}" for row in known]
        assert "learning apply: outcomes decide; without it" in shown
        assert "a dry run tries nothing" in shown
        assert "likely outcome" not in cortexctl("route", "--explain", "hello").stdout

    def test_explained_watching(self, cortexctl: Cortexctl) -> None:
        """Where outcomes are only watched the same route is taken, and --explain says what they would do."""
        words = ("route", "--task", "configuration", "--explain", "hello")
        plain, watched = cortexctl(*words).stdout, cortexctl(*words, "--learned", "observe").stdout
        assert watched.startswith(plain.rstrip("\n"))
        assert "learning observe: outcomes are watched and decide nothing; without it" in watched
        assert "would be asked" in watched


class TestUsage:
    def test_groups(self, served: Served, cortexctl: Cortexctl) -> None:
        """Sums by day, and by several things at once, with the ledger's figures."""
        cortexctl("ask", "hello")
        cortexctl("ask", "--task", "code_generation", "hello")
        with Client(served.address) as client:
            [total] = client.usage()
        by_day = json.loads(cortexctl("usage", "--by", "day", "--json").stdout)
        assert [(row["day"], row["cost_nano_usd"]) for row in by_day] == [(TODAY, total.cost_nano_usd)]
        lines = cortexctl("usage", "--by", "task", "--by", "model", "--days", "2").stdout.splitlines()
        assert lines[0].split() == ["task", "model", "requests", "input", "output", "cost"]
        assert ["code_generation", "kimi-k2.6"] in [line.split()[:2] for line in lines]
        assert lines[-1].split()[0] == "all"

    def test_csv(self, served: Served, cortexctl: Cortexctl) -> None:
        """CSV has a header and exact decimal costs."""
        cortexctl("ask", "hello")
        rows = list(csv.DictReader(io.StringIO(cortexctl("usage", "--by", "provider", "--csv").stdout)))
        sums = {row["provider"]: row for row in json.loads(cortexctl("usage", "--by", "provider", "--json").stdout)}
        assert rows
        for row in rows:
            assert round(float(row["cost_usd"]) * 1e9) == sums[row["provider"]]["cost_nano_usd"]

    def test_label(self, cortexctl: Cortexctl) -> None:
        """--label groups by a label's values."""
        cortexctl("ask", "--label", "team=blue", "hello")
        assert any(line.split()[0] == "blue" for line in cortexctl("usage", "--label", "team").stdout.splitlines())

    def test_apps(self, cortexctl: Cortexctl) -> None:
        """--by app tells by whose word it is called so, --app shows one alone."""
        cortexctl("ask", "--label", "app=aider", "--label", "app_verified=script", "hello")
        cortexctl("ask", "--label", "app=aider", "hello")
        rows = [line.split("  ")[0] for line in cortexctl("usage", "--by", "app").stdout.splitlines()]
        assert {"aider", "aider (unverified)", "(none)"} <= set(rows)
        [of_one] = json.loads(cortexctl("usage", "--app", "aider", "--json").stdout)
        assert of_one["requests"] == 2

    def test_chart(self, served: Served, cortexctl: Cortexctl) -> None:
        """At a terminal each row has a bar; where the terminal has no blocks it is made of hash signs."""
        cortexctl("ask", "hello")
        words = ["usage", "--by", "provider", "--days", "1"]
        assert "█" * 30 in at_terminal(served.address, words, {"NO_COLOR": "1"})[1]
        assert "#" * 30 in at_terminal(served.address, words, {"NO_COLOR": "1", "PYTHONIOENCODING": "ascii"})[1]
        assert "█" not in cortexctl(*words).stdout

    @pytest.mark.parametrize(
        "words",
        [
            ["--by", "label"],
            ["--by", "nonsense"],
            ["--days", "2", "--since", TODAY],
            ["--days", "2", "--until", "x"],
            ["--since", "yesterday"],
            ["--json", "--csv"],
            ["--by", "day", "--reset"],
        ],
    )
    def test_wrong_use(self, cortexctl: Cortexctl, words: list[str]) -> None:
        """What does not fit together, and what is no day, is refused with a line that says why."""
        done = cortexctl("usage", *words)
        assert (done.returncode, done.stdout) == (USAGE, "")
        assert done.stderr.count("\n") == 1


class TestBudget:
    def test_life_of_a_limit(self, served: Served, cortexctl: Cortexctl) -> None:
        """A limit is set, shown, checked, met, and removed again."""
        assert cortexctl("budget").stdout == "no limits bind you\n"
        assert cortexctl("budget", "--check").returncode == 0
        assert cortexctl("budget", "set", "--each-user", "--day", "5", "--month", "20").returncode == 0
        header, day, month = cortexctl("budget").stdout.splitlines()
        assert header.split() == ["budget", "limit", "spent", "reserved", "left", "used", "state", "starts", "again"]
        assert day.startswith("you, day")
        assert "$20.00" in month
        assert "░" in at_terminal(served.address, ["budget"])[1]
        checked = cortexctl("budget", "--check")
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

        cortexctl("budget", "set", "--each-user", "--day", "0")
        checked = cortexctl("budget", "--check")
        assert (checked.returncode, checked.stdout, checked.stderr) == (LIMIT, "", "")
        refused = cortexctl("ask", "hello")
        assert refused.returncode == LIMIT
        assert "or wait until 20" in refused.stderr
        assert "[" not in refused.stderr
        assert json.loads(cortexctl("budget", "--json").stdout)[0]["severity"] == "exceeded"

        assert cortexctl("budget", "remove", "--each-user").returncode == 0
        assert json.loads(cortexctl("budget", "--json").stdout) == []

    def test_of_a_program(self, cortexctl: Cortexctl) -> None:
        """It binds that program's requests alone, and is no word on the user's other ones."""
        assert cortexctl("budget", "set", "--app", "glutton", "--day", "0").returncode == 0
        assert cortexctl("budget").stdout.splitlines()[1].startswith("you by glutton, day")
        refused = cortexctl("ask", "--label", "app=glutton", "hello")
        assert (refused.returncode, "by glutton" in refused.stderr, "[" in refused.stderr) == (LIMIT, True, False)
        for words in (["ask", "--label", "app=modest", "hello"], ["budget", "--check"], ["status"]):
            assert cortexctl(*words).returncode == 0, words
        assert "by glutton day exceeded" in cortexctl("status").stdout
        assert cortexctl("budget", "remove", "--app", "glutton").returncode == 0
        assert cortexctl("budget").stdout == "no limits bind you\n"

    @pytest.mark.parametrize(
        "words",
        [
            ["set", "--machine"],
            ["set", "--day", "1"],
            ["set", "--machine", "--user", "root", "--day", "1"],
            ["set", "--machine", "--day", "-1"],
            ["remove"],
        ],
    )
    def test_wrong_use(self, cortexctl: Cortexctl, words: list[str]) -> None:
        """One scope and at least one limit, and nothing below zero."""
        done = cortexctl("budget", *words)
        assert (done.returncode, done.stdout) == (USAGE, "")

    def test_watched(self, served: Served, cortexctl: Cortexctl) -> None:
        """watch says when a threshold of the budget is passed."""
        argv = cortexctl_argv(served.address, "watch")
        with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            watching.stdout.readline()
            with Client(served.address) as client:
                spent = sum(row.cost_usd for row in client.usage(since=TODAY, until=TODAY))
                client.set_budget("each_user", day_usd=spent + 0.06)
            try:
                served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=4000))
                assert cortexctl("ask", "hello").returncode == 0
                lines = [watching.stdout.readline() for _ in range(2)]
            finally:
                cortexctl("budget", "remove", "--each-user")
                watching.kill()
        assert any("of this day's budget is spent: $" in line for line in lines), lines


class TestWishes:
    def test_prefs(self, cortexctl: Cortexctl) -> None:
        """Wishes are set one by one, hold for requests, and are given up one by one or all."""
        assert cortexctl("prefs", "set", "user_chat=kimi_k2").returncode == 0
        assert cortexctl("prefs", "set", "--strategy", "cost", "code_generation=claude").returncode == 0
        shown = json.loads(cortexctl("prefs", "--json").stdout)
        assert shown["providers"] == {"user_chat": "kimi_k2", "code_generation": "claude"}
        assert (shown["strategy"], shown.get("local_only", False)) == ("cost", False)
        assert cortexctl("prefs", "clear", "strategy", "code_generation").returncode == 0
        assert cortexctl("prefs").stdout.splitlines()[1:] == ["user_chat   kimi_k2"]
        assert cortexctl("ask", "hello").stdout.startswith("[kimi-k2.6]")
        assert cortexctl("prefs", "clear").returncode == 0
        assert cortexctl("prefs").stdout == "none: the operator's routing holds\n"
        assert cortexctl("prefs", "set", "--learned", "observe").returncode == 0
        assert cortexctl("prefs").stdout.splitlines()[1:] == ["learned     observe"]
        assert "learned" in json.loads(cortexctl("route", "hello", "--json").stdout)
        assert cortexctl("prefs", "set", "--strategy", "learned").returncode == USAGE
        assert cortexctl("prefs", "clear", "learned").returncode == 0
        assert "learned" not in json.loads(cortexctl("route", "hello", "--json").stdout)
        assert cortexctl("prefs", "set", "nonsense=claude").returncode == USAGE
        assert cortexctl("prefs", "set").returncode == USAGE

    def test_local_only(self, cortexctl: Cortexctl) -> None:
        """Only local endpoints: where there is none nobody is asked."""
        assert cortexctl("prefs", "set", "--local-only").returncode == 0
        assert cortexctl("ask", "hello").returncode == PROVIDER_FAILED
        assert cortexctl("prefs", "set", "--no-local-only").returncode == 0
        assert cortexctl("ask", "hello").returncode == 0


class TestAdministration:
    def test_verify(self, served: Served, cortexctl: Cortexctl) -> None:
        """--verify asks each configured provider once; one that fails makes the status."""
        rows = json.loads(cortexctl("providers", "--verify", "--json").stdout)
        assert [(row["provider"], row["ok"]) for row in rows] == [("claude", True), ("kimi_k2", True)]
        served.simulated.behave("claude", Behaviour(status=401))
        done = cortexctl("providers", "--verify", "claude")
        assert done.returncode == PROVIDER_FAILED
        assert "no: " in done.stdout
        assert "[tried=" not in done.stdout  # what programs read is no text for people
        assert cortexctl("providers", "nobody").returncode == USAGE
        alone = cortexctl("providers", "deepseek").stdout
        assert ("no key" in alone, "claude" in alone) == (True, False)

    def test_reload(self, served: Served, cortexctl: Cortexctl) -> None:
        """reload takes a changed file over; what is wrong in one is said, and the old one stays."""
        assert cortexctl("reload").returncode == 0
        more = Path(served.address.removeprefix("unix:path=")).parent / "conf.d"
        more.mkdir()
        try:
            (more / "a.toml").write_text('[routing.table]\nuser_chat = "kimi_k2"\n')
            assert cortexctl("reload").returncode == 0
            assert cortexctl("ask", "hello").stdout.startswith("[kimi-k2.6]")
            (more / "a.toml").write_text("[limits]\nmax_messages = -1\n")
            wrong = cortexctl("reload")
            assert wrong.returncode == USAGE
            assert "limits.max_messages" in wrong.stderr
        finally:
            (more / "a.toml").unlink()
            more.rmdir()
            cortexctl("reload")


class TestConfiguration:
    TEXT = """
[providers.claude]
model = "claude-opus-5-5"
rate = { input_usd_per_million = "1", output_usd_per_million = "2" }
[budgets]
thresholds = [0.5, 0.9]
[budgets.users.alice]
day_usd = "1.50"
[authorization]
privileged_task_types = ["configuration"]
[network]
no_proxy = [".example"]
"""

    @pytest.fixture(name="file")
    def file_fixture(self, tmp_path: Path) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(self.TEXT)
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d/more.toml").write_text("[limits]\nmax_messages = 12\n")
        return file

    def test_check(self, cortexctl: Cortexctl, file: Path) -> None:
        """check names the files that are right, and what is wrong in one; no service is needed."""
        done = cortexctl("config", "check", "--config", str(file), bus="unix:path=/nonexistent")
        assert done.stdout.splitlines() == [f"{file}: OK", f"{file.parent}/conf.d/more.toml: OK"]
        file.write_text("[limits]\nmax_mesages = 5\n")
        done = cortexctl("config", "check", "--config", str(file))
        assert (done.returncode, done.stdout) == (OTHER, "")
        assert "did you mean 'max_messages'?" in done.stderr

    def test_show_means_the_same(self, cortexctl: Cortexctl, file: Path, tmp_path: Path) -> None:
        """What show prints is a configuration of its own, equal to the one it was made of."""
        shown = cortexctl("config", "show", "--config", str(file)).stdout
        copy = tmp_path / "copy" / "config.toml"
        copy.parent.mkdir()
        copy.write_text(shown)
        assert settings_as_toml(load_config(copy)).replace(f"  # {copy}", "") == "\n".join(
            line.partition("  # ")[0] for line in shown.rstrip("\n").split("\n")
        )
        assert load_config(copy).budgets == load_config(file).budgets
        assert load_config(copy).providers == load_config(file).providers

    def test_show_says_where(self, cortexctl: Cortexctl, file: Path) -> None:
        """Each setting that a file sets has the file beside it; passwords and keys are not shown."""
        file.write_text('[network]\nproxy = "http://me:password@proxy:3128"\n')
        lines = cortexctl("config", "show", "--config", str(file)).stdout.splitlines()
        assert f'proxy = "http://(hidden)@proxy:3128"  # {file}' in lines
        assert f"max_messages = 12  # {file.parent}/conf.d/more.toml" in lines
        assert "max_tools = 256" in lines

    def test_on_break(self, served: Served, cortexctl: Cortexctl) -> None:
        """What becomes of a broken stream is shown, holds where a stream does not say, and is given up by its name."""
        assert cortexctl("prefs", "set", "--on-break", "fail").returncode == 0
        assert cortexctl("prefs", "set", "--local-only").returncode == 0
        assert cortexctl("prefs", "set", "--no-local-only").returncode == 0
        assert cortexctl("prefs").stdout.splitlines()[1:] == ["on-break    fail"]
        broken = Behaviour(reply="word " * 40, chunks=40, cut_after=20, fault=Fault.END_EARLY)
        served.simulated.behave("claude", broken)
        before = served.simulated.counts("kimi_k2").requests
        assert cortexctl("ask", "--stream", "hello").returncode == PROVIDER_FAILED
        assert served.simulated.counts("kimi_k2").requests == before
        served.simulated.behave("claude", broken)
        done = cortexctl("ask", "--stream", "--on-break", "continue", "hello")
        assert (done.returncode, done.stdout.startswith("word word")) == (0, True)
        assert cortexctl("prefs", "clear", "on-break").returncode == 0
        assert cortexctl("prefs").stdout == "none: the operator's routing holds\n"

    def test_excluded(self, cortexctl: Cortexctl) -> None:
        """Whom never to ask is shown, holds, and is given up by its name."""
        assert cortexctl("prefs", "set", "--exclude", "claude, qwen").returncode == 0
        assert cortexctl("prefs").stdout.splitlines()[1:] == ["excluded    claude, qwen"]
        assert cortexctl("ask", "hello").stdout.startswith("[kimi-k2.6]")
        assert cortexctl("prefs", "set", "--exclude", "cloud").returncode == USAGE
        assert cortexctl("prefs", "clear", "excluded").returncode == 0
        assert cortexctl("prefs").stdout == "none: the operator's routing holds\n"
