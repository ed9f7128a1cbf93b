"""CompleteRaw and OpenRawStream as a program uses them, and a daemon with a provider of each API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulated import Behaviour, ControlClient
from tests.system.books import Books, read_books
from tests.system.daemon import SIMULATED_KEYS, Daemon, base_urls
from tests.system.program import NAME, Json, Program, dictionary, message
from tests.system.stream import Stream

PROVIDERS = {"anthropic": "claude", "openai": "kimi_k2", "responses": "openai"}
CONFIG = """
[daemon]
preload_sdks = true
[cache]
enabled = true
[providers.openai]
preset = "openai"
api = "responses"
base_url = "{openai}"
model = "gpt-5.4"
rate = {{ input_usd_per_million = "2", cache_read_usd_per_million = "0.5", output_usd_per_million = "8" }}
[providers.office]
api = "openai"
base_url = "{office}"
model = "llama-9"
local = true
"""
KEYS = {**SIMULATED_KEYS, "openai": "sk-sim-openai-of-the-tests"}
BODIES: dict[str, Json] = {
    "anthropic": {"model": "any", "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]},
    "openai": {"model": "any", "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "any", "max_output_tokens": 200, "input": "hello"},
}


def body_of(form: str, prompt: str = "hello", **more: Any) -> str:
    return json.dumps({**BODIES[form], **more}).replace("hello", prompt)


@dataclass(frozen=True, slots=True)
class Raw:
    """`content` as it was told; its own `answer` where that is JSON."""

    content: str
    metadata: Json

    @property
    def answer(self) -> Any:
        return json.loads(self.content)


async def complete_raw(program: Program, form: str, body: str, task: str = "user_chat", **options: Any) -> Raw:
    """Raises BusError."""
    return Raw(*await program.call(NAME, "CompleteRaw", "sssa{sv}", form, task, body, dictionary(options)))


async def open_raw(program: Program, form: str, body: str | None = None, **options: Any) -> Stream:
    """Raises BusError."""
    text = body_of(form, stream=True) if body is None else body
    call = message("OpenRawStream", "sssa{sv}", form, "user_chat", text, dictionary(options))
    return await Stream.of(program, call)


def bytes_of(events: list[Json]) -> bytes:
    return b"".join(event.get("data", b"") for event in events)


@dataclass(frozen=True, slots=True)
class Served:
    daemon: Daemon
    simulated: ControlClient

    def behave(self, form: str, *behaviours: Behaviour) -> None:
        self.simulated.behave(PROVIDERS[form], *behaviours)

    def sent(self, form: str) -> str:
        """The last request's body."""
        return self.simulated.received(PROVIDERS[form])[-1].body

    def asked(self, form: str) -> int:
        return self.simulated.counts(PROVIDERS[form]).requests

    def books(self) -> Books:
        return read_books(self.daemon.ledger_file)

    def as_new(self) -> None:
        """Nobody remembers a failure."""
        for name in (*PROVIDERS.values(), "office"):
            self.simulated.reset(name)
        self.daemon.reconfigure(config_of(self.simulated))


def config_of(simulated: ControlClient) -> str:
    return CONFIG.format(**{name: simulated.url(name) for name in ("openai", "office")})


@contextmanager
def serving(directory: Path, simulated: ControlClient) -> Iterator[Served]:
    daemon = Daemon(directory, base_urls(simulated), config_of(simulated), keys=KEYS)
    with daemon.serving():
        yield Served(daemon, simulated)
        read_books(daemon.ledger_file).assert_balanced()
