"""cortexctl as a subprocess against the real daemon: what scripts get."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from random import Random

import pytest

from cortexd.client import Client
from cortexd.connection import Connection, Message
from simulated import Behaviour, Fault
from tests.bus.private_dbus import PrivateBus, bus_fixture  # noqa: F401
from tests.bus.served import (  # noqa: F401
    MAX_PROMPT_BYTES,
    START_S,
    Cortexctl,
    Served,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    read_and_leave,
    served_fixture,
    served_of_module_fixture,
)
from tests.eventually import assert_eventually
from tests.secrets_made import MAKERS

USAGE, DENIED, NO_DAEMON, PROVIDER_FAILED, LIMIT, TIMEOUT, INTERRUPTED = 2, 3, 4, 5, 6, 7, 130


def asked(served: Served) -> str:
    """The text of the last message that Claude received."""
    content = json.loads(served.simulated.received("claude")[-1].body)["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


class TestAsk:
    def test_answer_alone_on_stdout(self, served: Served, cortexctl: Cortexctl) -> None:
        """The answer is all there is on stdout, and off a terminal stderr is empty."""
        done = cortexctl("ask", "Why", "is", "it?")
        assert (done.returncode, done.stdout, done.stderr) == (0, "[claude-sonnet-5-5] You said: Why is it?\n", "")

    def test_piped_text_goes_below_the_prompt(self, served: Served, cortexctl: Cortexctl) -> None:
        """What is piped in is context below the prompt's words."""
        assert cortexctl("ask", "What is wrong?", input="line one\nline two\n").returncode == 0
        assert asked(served) == "What is wrong?\n\nline one\nline two\n"

    def test_piped_text_alone_is_the_prompt(self, served: Served, cortexctl: Cortexctl) -> None:
        """Without words the prompt is what is piped in."""
        assert cortexctl("ask", input="hello").returncode == 0
        assert asked(served) == "hello"

    def test_no_prompt(self, cortexctl: Cortexctl) -> None:
        """Nothing to ask is wrong use, and says how to use it."""
        done = cortexctl("ask")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("cortexctl: Nothing to ask")

    def test_options(self, served: Served, cortexctl: Cortexctl) -> None:
        """System message, token bound, provider and model reach the provider."""
        words = ["--system", "Be brief", "--max-tokens", "77", "--provider", "claude", "--model", "claude-opus-5-5"]
        done = cortexctl("ask", *words, "hello")
        assert done.stdout.startswith("[claude-opus-5-5]"), done.stderr
        body = json.loads(served.simulated.received("claude")[-1].body)
        assert (body["max_tokens"], "Be brief" in json.dumps(body["system"])) == (77, True)

    def test_json(self, served: Served, cortexctl: Cortexctl) -> None:
        """--json, before or after the command, gives one document with content and everything known about it."""
        for words in (["--json", "ask", "hello"], ["ask", "hello", "--json"]):
            answer = json.loads(cortexctl(*words).stdout)
            assert answer["content"] == "[claude-sonnet-5-5] You said: hello"
            assert answer["cost_nano_usd"] > 0
            assert answer["attempts"][0]["provider"] == "claude"

    def test_request_id(self, served: Served, cortexctl: Cortexctl) -> None:
        """A repeated call under the same id gets the same answer and asks no provider again."""
        first, second = (cortexctl("ask", "--request-id", "once", "--json", "hello").stdout for _ in range(2))
        assert json.loads(first) == json.loads(second)
        assert served.simulated.counts("claude").requests == 1

    def test_no_fallback(self, served: Served, cortexctl: Cortexctl) -> None:
        """With --no-fallback the first failure is the end; without it another provider answers."""
        served.simulated.behave("claude", Behaviour(status=529))
        assert cortexctl("ask", "--no-fallback", "hello").returncode == PROVIDER_FAILED
        assert cortexctl("ask", "hello").stdout.startswith("[kimi-k2.6]")

    def test_hedge(self, served: Served, cortexctl: Cortexctl) -> None:
        """A second model answers where the first is slower than it has been; never one that is printed as it comes."""
        with Client(served.address) as client:
            for _ in range(25):  # the first ones load what it takes
                assert client.complete("user_chat", "hello", hedge=True).provider == "claude"
        served.simulated.behave("claude", Behaviour(delay_s=20.0))
        done = cortexctl("ask", "--hedge", "--json", "hello")
        assert [item["provider"] for item in json.loads(done.stdout)["attempts"]] == ["claude", "kimi_k2"]
        assert cortexctl("ask", "--hedge", "--stream", "hello").returncode == USAGE

    def test_local(self, cortexctl: Cortexctl) -> None:
        """With --local and no local endpoint nothing leaves the machine."""
        done = cortexctl("ask", "--local", "hello")
        assert done.returncode == PROVIDER_FAILED
        assert "local" in done.stderr

    def test_secrets(self, served: Served, cortexctl: Cortexctl) -> None:
        """With --secrets redact a token stays here and is in the answer again; local sends it nowhere, route and batch
        likewise."""
        token = MAKERS["github_token"](Random(3)).secret
        done = cortexctl("ask", "--secrets", "redact", f"use {token}")
        assert done.stdout == f"[claude-sonnet-5-5] You said: use {token}\n"
        assert token not in served.simulated.received("claude")[-1].body
        cortexctl("batch", "--secrets", "redact", input=json.dumps({"prompt": f"use {token}"}))
        assert token not in served.simulated.received("claude")[-1].body
        assert served.simulated.counts("claude").requests == 2
        for words in (["ask"], ["route"]):
            done = cortexctl(*words, "--secrets", "local", f"use {token}")
            assert done.returncode == PROVIDER_FAILED
            assert token not in done.stderr
        assert cortexctl("ask", "--secrets", "hide", "hello").returncode == 2

    def test_pipe_gets_the_very_bytes(self, served: Served, cortexctl: Cortexctl) -> None:
        """In a pipe the answer is not touched, escape sequences and emoji included, whatever the locale."""
        served.simulated.behave("claude", Behaviour(reply="\x1b[31mröt\x9b \U0001f600\r\nend"))
        for locale in (
            {},
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"PYTHONIOENCODING": "ascii"},
        ):
            argv = cortexctl_argv(served.address, "ask", "hello")
            output = subprocess.run(argv, env=environment(locale), stdin=subprocess.DEVNULL, capture_output=True)
            assert output.stdout == "\x1b[31mröt\x9b \U0001f600\r\nend\n".encode()


class TestTables:
    def test_route(self, cortexctl: Cortexctl) -> None:
        """route shows the candidates in order with their worst case, and who was left out and why."""
        lines = cortexctl("route", "--task", "code_generation", "hello").stdout.splitlines()
        assert lines[0].startswith("code_generation: kimi_k2 kimi-k2.6, because ")
        assert lines[1] == "needs org.cortexlinux.LLMRouter.complete"
        assert [line.split()[:2] for line in lines[3:5]] == [["1", "kimi_k2"], ["2", "claude"]]
        assert any(line.startswith("deepseek") and "no key" in line for line in lines[5:])

    def test_route_json(self, cortexctl: Cortexctl) -> None:
        """The whole decision as JSON, also without a prompt."""
        decision = json.loads(cortexctl("route", "--json").stdout)
        assert (decision["provider"], decision["candidates"][0]["rank"]) == ("claude", 1)

    def test_usage(self, served: Served, cortexctl: Cortexctl) -> None:
        """usage counts requests and costs; --reset starts again after showing them."""
        cortexctl("usage", "--reset")
        cost = json.loads(cortexctl("ask", "--json", "hello").stdout)["cost_nano_usd"]
        stats = json.loads(cortexctl("usage", "--json").stdout)
        assert (stats["total_requests"], stats["total_cost_nano_usd"]) == (1, cost)
        shown = cortexctl("usage", "--reset").stdout
        assert [line.split()[:2] for line in shown.splitlines()[:4]] == [
            ["provider", "requests"],
            ["claude", "1"],
            ["kimi_k2", "0"],
            ["all", "1"],
        ]
        assert json.loads(cortexctl("usage", "--json").stdout)["total_requests"] == 0

    def test_providers(self, cortexctl: Cortexctl) -> None:
        """providers shows state and models, and what an unconfigured one lacks."""
        lines = cortexctl("providers").stdout.splitlines()
        assert lines[0].split() == ["provider", "state", "models", "note"]
        assert any(line.split()[:2] == ["claude", "ok"] and "claude-sonnet-5-5" in line for line in lines)
        assert any(line.startswith("deepseek") and "no key" in line for line in lines)
        names = [row["name"] for row in json.loads(cortexctl("--json", "providers").stdout)]
        assert names[:2] == ["claude", "kimi_k2"]

    def test_one_provider(self, cortexctl: Cortexctl) -> None:
        """All its models, each with its context."""
        lines = [line.split() for line in cortexctl("providers", "kimi_k2").stdout.splitlines()]
        assert lines[1][:3] == ["kimi_k2", "ok", "kimi-k2.6"]
        assert ["kimi-k2.7-code", "262,144"] in lines


class TestWatch:
    def watch(self, served: Served, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            cortexctl_argv(served.address, "watch", *words),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_shows_costs_of_other_calls(self, served: Served, cortexctl: Cortexctl) -> None:
        """While another program asks, its cost appears with the day's sum; --count ends it with status 0."""
        with self.watch(served, "--count", "2") as watching:
            assert watching.stdout is not None
            assert "watching; today $" in watching.stdout.readline()
            ids = [json.loads(cortexctl("ask", "--json", "hello").stdout)["request_id"] for _ in range(2)]
            lines = watching.stdout.read().splitlines()
            assert watching.wait(START_S) == 0
        assert [line.rpartition("request ")[2] for line in lines] == ids
        assert all(", user_chat, claude claude-sonnet-5-5, today $" in line for line in lines)

    def test_json_lines(self, served: Served, cortexctl: Cortexctl) -> None:
        """With --json each line is a document; the service's leaving and returning are events of their own, and behind
        the latter stands where the figures are."""
        with self.watch(served, "--json", "--count", "1") as watching:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["event"] == "watching"
            served.stop()
            left = json.loads(watching.stdout.readline())
            assert (left["event"], left["running"]) == ("service", False)
            served.start()
            back = json.loads(watching.stdout.readline())
            assert (back["event"], back["running"]) == ("service", True)
            assert json.loads(watching.stdout.readline())["event"] == "watching"

            def asked_until_seen() -> bool:
                cortexctl("ask", "hello")
                return watching.poll() is not None

            assert_eventually(asked_until_seen, START_S)
            cost = json.loads(watching.stdout.readline())
        assert (cost["event"], cost["provider"], watching.returncode) == ("cost", "claude", 0)
        assert cost["cost_nano_usd"] > 0

    def test_interrupted(self, served: Served) -> None:
        """Ctrl-C ends it with status 130 and no traceback."""
        with self.watch(served) as watching:
            assert watching.stdout is not None
            watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate(timeout=START_S)
        assert (watching.returncode, errors) == (INTERRUPTED, "cortexctl: interrupted\n")


class TestEndings:
    def test_no_daemon(self, served: Served, cortexctl: Cortexctl) -> None:
        """Every command says that the daemon is not running and how to start it: status 4, one line."""
        served.stop()
        words_of_all = "ask hello|ask --stream hello|route|usage|usage --by day|watch|providers|providers --verify|"
        words_of_all += "requests|cancel x|outcome x 1|budget|budget set --machine --day 1|prefs|prefs clear|reload"
        for words in (words.split() for words in words_of_all.split("|")):
            done = cortexctl(*words)
            assert (done.returncode, done.stdout) == (NO_DAEMON, "")
            [line] = done.stderr.splitlines()
            assert line.startswith(f"cortexctl: cortexd is not running on the bus at {served.address}. Start it with ")

    @pytest.mark.parametrize("error", ["UnknownMethod", "UnknownObject", "UnknownInterface"])
    async def test_somebody_else(self, bus: PrivateBus, error: str) -> None:
        """Another program under our name is no cortexd, in whatever words it refuses: status 4."""

        def refuse(connection: Connection, message: Message) -> None:
            connection.send(Message.new_error(message, f"org.freedesktop.DBus.Error.{error}", "no such thing"))

        async with await Connection.open(bus.address) as connection:
            connection.on_call = partial(refuse, connection)
            await connection.request_name("org.cortexlinux.LLMRouter")
            argv = cortexctl_argv(bus.address, "status")
            done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == NO_DAEMON
        assert done.stderr.startswith("cortexctl: another program answers for org.cortexlinux.LLMRouter on the bus at ")

    def test_no_bus(self, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Where there is no bus that is what it says."""
        done = cortexctl("usage", bus=f"unix:path={tmp_path}/nothing")
        assert done.returncode == NO_DAEMON
        assert done.stderr.startswith("cortexctl: cannot reach the bus at unix:path=")

    def test_provider_failures(self, served: Served, cortexctl: Cortexctl) -> None:
        """Nobody answers, one fails that was asked for, one has no key: status 5, and who was tried."""
        for name in ("claude", "kimi_k2"):
            served.simulated.behave(name, Behaviour(status=500))
        done = cortexctl("ask", "hello")
        assert (done.returncode, done.stdout) == (PROVIDER_FAILED, "")
        assert "claude" in done.stderr
        assert "kimi_k2" in done.stderr
        assert cortexctl("ask", "--provider", "claude", "hello").returncode == PROVIDER_FAILED
        unconfigured = cortexctl("ask", "--provider", "deepseek", "hello")
        assert unconfigured.returncode == PROVIDER_FAILED
        assert "DEEPSEEK_API_KEY" in unconfigured.stderr

    def test_too_large(self, cortexctl: Cortexctl) -> None:
        """A prompt past the service's bound: status 6."""
        done = cortexctl("ask", input="x" * (MAX_PROMPT_BYTES + 1))
        assert done.returncode == LIMIT
        assert str(MAX_PROMPT_BYTES) in done.stderr

    def test_timeout(self, served: Served, cortexctl: Cortexctl) -> None:
        """No answer within --timeout: status 7."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        done = cortexctl("--timeout", "0.5", "ask", "hello")
        assert done.returncode == TIMEOUT
        assert "0.5 s" in done.stderr

    def test_details_in_words(self, served: Served, cortexctl: Cortexctl) -> None:
        """What errors carry for programs is told as words, not in brackets."""
        words = ["ask", "--request-id", "words-1", "hello"]
        assert cortexctl(*words).returncode == 0
        served.stop()
        served.start()
        done = cortexctl(*words)
        assert done.returncode == 1
        assert "It cost $0.00" in done.stderr
        assert "[" not in done.stderr

    @pytest.mark.parametrize(
        "words",
        [
            ["ask", "--task", "nonsense", "hello"],
            ["ask", "--provider", "nobody", "hello"],
            ["ask", "--max-tokens", "0", "hello"],
            ["aks", "hello"],
            ["--timeout", "0", "usage"],
        ],
    )
    def test_wrong_use(self, cortexctl: Cortexctl, words: list[str]) -> None:
        """Wrong options, task types and names: status 2, whoever found it."""
        done = cortexctl(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("cortexctl: ")
        assert "Traceback" not in done.stderr

    def test_interrupt_ends_the_request(self, served: Served) -> None:
        """Ctrl-C during a call: status 130, and the service gives the request up."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        argv = cortexctl_argv(served.address, "ask", "hello")
        with subprocess.Popen(argv, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as asking:
            assert_eventually(lambda: served.simulated.counts("claude").requests == 1)
            asking.send_signal(signal.SIGINT)
            _, errors = asking.communicate(timeout=START_S)
        assert (asking.returncode, errors) == (INTERRUPTED, b"cortexctl: interrupted\n")
        with Client(served.address) as client:
            assert_eventually(lambda: client.properties().active_requests == 0)

    def test_reader_that_leaves(self, served: Served) -> None:
        """A pipe that is closed early ends it quietly."""
        served.simulated.behave("claude", Behaviour(size_bytes=1_000_000))
        assert read_and_leave(served.address, ["ask", "hello"], 10) == (0, b"")

    def test_full_disk(self, served: Served) -> None:
        """Output that cannot be written is an error in words."""
        argv = cortexctl_argv(served.address, "ask", "hello")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, f"cortexctl: {os.strerror(28)}\n")
