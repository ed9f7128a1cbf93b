"""What each client is asked to do, and what the provider and the service do meanwhile."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from simulated import Behaviour

PIXEL = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")).decode()
REFUSED, UNKNOWN_MODEL = "task/system_operation", "claude-sonet"
NO_MONEY = '[budgets.users.alice]\nday_usd = "0"\n'
ROME = '{"city": "Rome"}'
RESULTS = ("30 degrees", "five past noon")  # of the tools
ENDLESS = Behaviour(reply="word " * 4000, chunks=4000, chunk_delay_s=0.05)


@dataclass(frozen=True, slots=True)
class Scene:
    """`what` the client does (tests/system/clients/programs), by which `model` ("" is its own); `behaviours` of the
    provider; `config` of the service meanwhile. `text`: what the client shows, or a part of what it says of a refusal;
    `sent`: what the provider has to get."""

    what: str
    behaviours: tuple[Behaviour, ...]
    text: str
    sent: tuple[str, ...] = ()
    model: str = ""
    config: str = ""


def told(reply: str, chunks: int | None = None) -> Behaviour:
    return Behaviour(reply=reply, input_tokens=50, output_tokens=20, chunks=chunks, chunk_delay_s=0.05)


def refusal(text: str, model: str = "", config: str = "") -> Scene:
    return Scene("chat", (told("good day"),), text, model=model, config=config)


_CALLS = (("weather", ROME), ("clock", ROME))
STREAM, CANCEL, BUDGET, POLKIT, UNKNOWN = "stream", "cancel", "no budget left", "refused by polkit", "unknown model"
ANSWERED = {
    "chat": Scene("chat", (told("good day"),), "good day"),
    STREAM: Scene("stream", (told("one two three four five six", 6),), "one two three four five six"),
    "two tools": Scene(
        "tools", (Behaviour(times=1, tool_calls=_CALLS), told("warm, at noon")), "warm, at noon", RESULTS
    ),
    "image": Scene("image", (told("a pixel"),), "a pixel", (PIXEL,)),
}
CANCELLED = Scene("cancel", (ENDLESS,), "word")
NOT_ANSWERED = {
    BUDGET: refusal("period=day", config=NO_MONEY),
    POLKIT: refusal("action=org.cortexlinux.LLMRouter.system-operation", model=REFUSED),
    UNKNOWN: refusal("claude/claude-sonnet-5-5", model=UNKNOWN_MODEL),
}
