"""What each client is asked to do, and what the provider and the service do meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from simulated import Behaviour

PICTURE = (  # a small red picture, as PNG
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAJ0lEQVR42u3NsQkAAAjAsP7/tF7hIASyp6lTCQQCgUAgEAgEgi/B"
    "AjLD/C5w/SM9AAAAAElFTkSuQmCC"
)
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
    return Behaviour(reply=reply, chunks=chunks, chunk_delay_s=0.05)


def calling(*calls: tuple[str, str]) -> Behaviour:
    return Behaviour(times=1, tool_calls=calls)


def refusal(text: str, model: str = "", config: str = "") -> Scene:
    return Scene("chat", (told("good day"),), text, model=model, config=config)


STREAM, TOOLS, IMAGE, CANCEL = "stream", "two tools", "image", "cancel"
BUDGET, POLKIT, UNKNOWN = "no budget left", "refused by polkit", "unknown model"
ANSWERED = {
    "chat": Scene("chat", (told("good day"),), "good day"),
    STREAM: Scene("stream", (told("one two three four five six", 6),), "one two three four five six"),
    TOOLS: Scene(
        "tools", (calling(("weather", ROME), ("clock", ROME)), told("warm, at noon")), "warm, at noon", RESULTS
    ),
    IMAGE: Scene("image", (told("a pixel"),), "a pixel", (PICTURE,)),
}
CANCELLED = Scene("cancel", (ENDLESS,), "word")
NOT_ANSWERED = {
    BUDGET: refusal("daily budget", config=NO_MONEY),
    POLKIT: refusal("polkit wants a password", model=REFUSED),
    UNKNOWN: refusal("claude/claude-sonnet-5-5", model=UNKNOWN_MODEL),
}
