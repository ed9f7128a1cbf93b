"""cortexctl ask while the answer arrives: on a terminal, into a pipe, interrupted, and failing in the middle."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexd.client import Client
from simulated import Behaviour, Fault
from tests.bus.served import (  # noqa: F401
    START_S,
    Cortexctl,
    Served,
    at_terminal,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    read_and_leave,
    served_fixture,
    served_of_module_fixture,
)
from tests.eventually import assert_eventually

PROVIDER_FAILED, INTERRUPTED = 5, 130
LONG = "a prompt that is long enough to come back in more than a few chunks, since each has 24 characters"
SLOW = Behaviour(size_bytes=200, chunks=200, chunk_delay_s=0.1)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@contextmanager
def asking(served: Served, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`ask` at a terminal of its own, and the terminal's other end."""
    screen, terminal = pty.openpty()
    argv = cortexctl_argv(served.address, "ask", *words)
    with subprocess.Popen(
        argv, env=environment(), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        try:
            yield process, screen
        finally:
            process.kill()
            os.close(screen)


def last_message(served: Served) -> dict[str, object]:
    message: dict[str, object] = json.loads(served.simulated.received("claude")[-1].body)["messages"][-1]
    return message


class TestArrival:
    def test_terminal_shows_pieces(self, served: Served) -> None:
        """On a terminal the first words are there while the provider is still writing."""
        served.simulated.behave("claude", SLOW)
        with asking(served, "hello") as (process, screen):
            assert os.read(screen, 100)
            assert process.poll() is None
            assert served.simulated.counts("claude").answered == 0

    def test_stream_into_pipe(self, served: Served) -> None:
        """--stream does the same in a pipe."""
        served.simulated.behave("claude", SLOW)
        argv = cortexctl_argv(served.address, "ask", "--stream", "hello")
        with subprocess.Popen(argv, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read(3) == b"xxx"
            assert process.poll() is None
            process.kill()

    def test_no_stream(self, served: Served) -> None:
        """--no-stream shows the whole answer at its end, also on a terminal, and nothing of one that broke off."""
        served.simulated.behave("claude", Behaviour(reply="x" * 400, fault=Fault.RESET_MID_BODY))
        status, screen = at_terminal(served.address, ["ask", "--no-stream", "hello"], {"NO_COLOR": "1"})
        assert (status, screen.splitlines()[0]) == (0, "[kimi-k2.6] You said: hello")

    @pytest.mark.parametrize("hostile", ["\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\x08\x08"])
    def test_split_sequences_are_harmless(self, served: Served, hostile: str) -> None:
        """An escape sequence that comes in pieces of one character drives the terminal no more than a whole one."""
        text = f"before {hostile}after"
        served.simulated.behave("claude", Behaviour(reply=text, chunks=len(text)))
        status, screen = at_terminal(served.address, ["ask", "hello"], {"NO_COLOR": "1"})
        assert status == 0
        assert not [char for char in screen if char != "\n" and (char < " " or "\x7f" <= char <= "\x9f")]
        assert screen.startswith("before ")
        assert "after\n" in screen

    def test_line_ends_that_are_split(self, served: Served) -> None:
        """A carriage return and its newline in two pieces are one line end, one alone is shown."""
        served.simulated.behave("claude", Behaviour(reply="a\r\nb\rc\r", chunks=7))
        _, screen = at_terminal(served.address, ["ask", "hello"], {"NO_COLOR": "1"})
        assert screen.startswith("a\nb\u240dc\u240d\n")


class TestFailingInTheMiddle:
    BROKEN = Behaviour(fault=Fault.RESET_MID_BODY, cut_after=6)

    def test_terminal(self, served: Served) -> None:
        """On a terminal a line says that the answer starts again, and then the other answer is whole."""
        served.simulated.behave("claude", self.BROKEN)
        status, screen = at_terminal(served.address, ["ask", LONG], {"NO_COLOR": "1"})
        first, said, second, note = screen.splitlines()
        assert status == 0
        assert first.startswith("[claude-sonnet-5-5] You said: a prompt")
        assert "starts the answer again" in said
        assert second == f"[kimi-k2.6] You said: {LONG}"
        assert "claude broke off" in note

    def test_pipe_gets_what_counts(self, served: Served, cortexctl: Cortexctl) -> None:
        """Into a pipe only the answer that counts is written."""
        served.simulated.behave("claude", self.BROKEN)
        done = cortexctl("ask", LONG)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"[kimi-k2.6] You said: {LONG}\n", "")

    def test_stream_into_pipe(self, served: Served, cortexctl: Cortexctl) -> None:
        """With --stream a program behind the pipe learns by the status that what it has is no answer."""
        served.simulated.behave("claude", self.BROKEN)
        done = cortexctl("ask", "--stream", LONG)
        assert done.returncode == PROVIDER_FAILED
        assert "kimi" not in done.stdout
        assert "cannot be taken back" in done.stderr

    def test_nobody_left(self, served: Served) -> None:
        """Where no other provider may answer the error comes on a line of its own."""
        served.simulated.behave("claude", self.BROKEN)
        status, screen = at_terminal(served.address, ["ask", "--no-fallback", LONG], {"NO_COLOR": "1"})
        assert status == PROVIDER_FAILED
        assert screen.splitlines()[1].startswith("cortexctl: claude")


class TestInterrupted:
    def test_ctrl_c_at_the_terminal(self, served: Served) -> None:
        """Ctrl-C ends it at once with status 130, cancels upstream, and what was used is settled."""
        served.simulated.behave("claude", SLOW)
        with asking(served, "hello") as (process, screen), Client(served.address) as client:
            assert os.read(screen, 100)
            before = client.stats().total_requests
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == INTERRUPTED
            assert_eventually(lambda: served.simulated.counts("claude").client_aborts == 1)
            assert_eventually(lambda: client.requests() == [])
            assert_eventually(lambda: client.stats().total_requests == before + 1)

    def test_own_request_id(self, served: Served) -> None:
        """Ctrl-C ends a request with an id of its own too, although it would survive our being killed."""
        served.simulated.behave("claude", Behaviour(delay_s=60))
        argv = cortexctl_argv(served.address, "ask", "--request-id", "ctrl-c", "hello")
        with subprocess.Popen(argv, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            assert_eventually(lambda: served.simulated.counts("claude").requests == 1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=START_S)
        assert (process.returncode, errors) == (INTERRUPTED, b"cortexctl: interrupted\n")
        with Client(served.address) as client:
            assert_eventually(lambda: client.requests() == [])

    def test_reader_that_leaves(self, served: Served) -> None:
        """A pipe that is closed early ends it quietly, and the request at the provider too."""
        served.simulated.behave("claude", SLOW)
        assert read_and_leave(served.address, ["ask", "--stream", "hello"], 1) == (0, b"")
        assert_eventually(lambda: served.simulated.counts("claude").client_aborts == 1)

    def test_killed(self, served: Served) -> None:
        """kill -9, as a closed terminal window, ends the request at the provider."""
        served.simulated.behave("claude", SLOW)
        with asking(served, "hello") as (process, screen):
            assert os.read(screen, 100)
            process.kill()
            assert_eventually(lambda: served.simulated.counts("claude").client_aborts == 1)


def piped(served: Served, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(cortexctl_argv(served.address, "ask", *words), input=data, capture_output=True, timeout=60)


class TestWhatIsSent:
    def test_text_file(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """A text file follows the prompt, by its name."""
        (tmp_path / "notes.txt").write_text("first line\n")
        assert cortexctl("ask", "--file", str(tmp_path / "notes.txt"), "Read", "this").returncode == 0
        assert json.dumps('Read this\n\n<file name="notes.txt">\nfirst line\n</file>')[1:-1] in json.dumps(
            last_message(served)
        )

    def test_image(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """An image goes as one, whatever its name."""
        (tmp_path / "picture").write_bytes(PNG)
        done = cortexctl("ask", "--file", str(tmp_path / "picture"), "What is this?")
        assert done.returncode == 0, done.stderr
        sent = json.dumps(last_message(served))
        assert "image/png" in sent
        assert base64.b64encode(PNG).decode() in sent

    def test_image_by_pipe(self, served: Served) -> None:
        """Binary input counts as a file, with or without words; text stays text, whatever it is encoded in."""
        for words in (["What is this?"], []):
            assert piped(served, PNG, *words).returncode == 0
            sent = json.dumps(last_message(served))
            assert "image/png" in sent
            assert base64.b64encode(PNG).decode() in sent
        refused = piped(served, b"\x7fELF\0\0\xff", "What is this?")
        assert refused.returncode == 2
        assert b"standard input is neither UTF-8 text nor a" in refused.stderr
        assert piped(served, b"caf\xe9", "Translate").returncode == 0
        assert "caf\ufffd" in json.dumps(last_message(served), ensure_ascii=False)
        route = subprocess.run(
            cortexctl_argv(served.address, "route", "--model", "kimi-k2.7-code"), input=PNG, capture_output=True
        )
        assert (route.returncode, b"takes no images" in route.stderr) == (PROVIDER_FAILED, True)

    def test_neither(self, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """What is neither text nor an image is refused before anything is sent."""
        (tmp_path / "program").write_bytes(b"\x7fELF\0\0\xff")
        done = cortexctl("ask", "--file", str(tmp_path / "program"), "What is this?")
        assert done.returncode == 2
        assert "neither UTF-8 text nor a" in done.stderr

    def test_options_of_the_request(self, served: Served, cortexctl: Cortexctl) -> None:
        """Deadline, labels, strategy, cost and session reach the service, which checks them."""
        done = cortexctl("ask", "--label", "project=x", "--strategy", "cost", "--session", "s1", "--json", "hello")
        assert json.loads(done.stdout)["provider"] == "kimi_k2"
        assert cortexctl("ask", "--label", "nonsense", "hello").returncode == 2
        refused = cortexctl("ask", "--max-cost", "0.0000001", "hello")
        assert refused.returncode in (5, 6)
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        served.simulated.behave("kimi_k2", Behaviour(fault=Fault.HANG))
        assert cortexctl("ask", "--deadline", "0.3", "hello").returncode == 7
        with Client(served.address) as client:
            rows = client.usage(group_by="label", label="project")
            assert any(row.label == "x" for row in rows)
