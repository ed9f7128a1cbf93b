"""Users of the booted system who call all the time, and what each call came to."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.boot.machine import Machine
from tests.eventually import assert_eventually

# Arguments: the first part of each prompt, callers at a time, calls of each (0: until standard input ends), pause in s.
# which call: complete or properties. A prompt is its request's id as well. A line of JSON for each call, as it ends.
_PROGRAM = """
import asyncio, json, random, sys, time
from cortexd.client import AsyncClient
from cortexd.errors import CortexError

prefix, callers, each, pause_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
what = sys.argv[5]
ending = asyncio.Event()

async def call(client, prompt):
    try:
        if what == "properties":
            return {"cost_nano": 0, "answer": (await client.properties()).version}
        answer = await client.complete("user_chat", prompt, request_id=prompt)
        return {"cost_nano": answer.cost_nano_usd, "settled": answer.settled, "answer": answer.content}
    except CortexError as error:
        return {"error": type(error).__name__, "text": str(error), "cost_nano": error.details.get("cost_nano_usd", 0)}

async def caller(client, number):
    done = 0
    while not ending.is_set() and (not each or done < each):
        prompt, began = f"{prefix}-{number}-{done}", time.monotonic()
        said = await call(client, prompt)
        print(json.dumps({"prompt": prompt, "took_s": time.monotonic() - began, **said}), flush=True)
        done += 1
        await asyncio.sleep(pause_s * random.uniform(0.9, 1.2))

def end():
    asyncio.get_running_loop().remove_reader(sys.stdin)
    ending.set()

async def main():
    asyncio.get_running_loop().add_reader(sys.stdin, end)
    async with AsyncClient(timeout_s=60) as client:
        await asyncio.gather(*(caller(client, number) for number in range(callers)))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Outcome:
    """`error` is the class of cortexd.errors, empty where there was an answer; `text` is what the error said."""

    prompt: str
    took_s: float
    cost_nano: int
    error: str = ""
    text: str = ""
    answer: str = ""
    settled: bool = True


@dataclass
class Load:
    """A user's program with several callers, each of whom makes `each` calls, or calls until `end`."""

    machine: Machine
    user: str
    prefix: str
    callers: int
    each: int = 1
    pause_s: float = 0.0
    what: str = "complete"
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> Self:
        arguments = [self.prefix, str(self.callers), str(self.each), str(self.pause_s), self.what]
        argv = self.machine.enter(["/usr/bin/python3", "-I", "-c", _PROGRAM, *arguments], user=self.user)
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.__exit__(kind, error, trace)
        self._reader.join(10)

    def await_calls(self, more: int, timeout: float = 60.0) -> None:
        """Until that many further calls have ended."""
        wanted = len(self.outcomes) + more
        assert_eventually(lambda: len(self.outcomes) >= wanted, timeout, f"{wanted} calls to end")

    def end(self) -> list[Outcome]:
        """Let every call under way end, and none begin."""
        assert self._process.stdin
        self._process.stdin.close()
        return self.ended()

    def ended(self) -> list[Outcome]:
        """The outcomes, once the program has made all its calls."""
        assert self._process.wait(90) == 0
        self._reader.join(10)
        return self.outcomes

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.outcomes.append(Outcome(**json.loads(line)))


def failed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.error]


def answered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.error]


_CONTROL = """
import sys, urllib.request
method, path, body = sys.argv[1:]
url = f"http://127.0.0.1:{open('/run/simulated.port').read().strip()}/__control/{path}"
with urllib.request.urlopen(urllib.request.Request(url, body.encode() or None, method=method), timeout=10) as answer:
    print(answer.read().decode())
"""


class Upstream:
    """The simulated provider `name` of the booted system, from outside."""

    def __init__(self, machine: Machine, name: str = "claude") -> None:
        self._machine = machine
        self._name = name

    def behave(self, *behaviours: dict[str, Any]) -> None:
        """Each as the fields of Behaviour."""
        self._control("POST", self._name, json.dumps(behaviours))

    def reset(self) -> None:
        self._control("DELETE", self._name)

    def count(self, name: str) -> int:
        """A field of Counts."""
        value: int = self._control("GET", f"{self._name}?last=0")["counts"][name]
        return value

    def times_asked(self, prompts: Sequence[str]) -> dict[str, int]:
        bodies = [request["body"] for request in self._control("GET", f"{self._name}?last=1000")["received"]]
        return {prompt: sum(f'"{prompt}"' in body for body in bodies) for prompt in prompts}

    def _control(self, method: str, path: str, body: str = "") -> Any:
        return json.loads(self._machine.output("/usr/bin/python3", "-I", "-c", _CONTROL, method, path, body))
