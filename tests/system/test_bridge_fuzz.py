"""The bridge under bodies that nobody would write. script/fuzz-bridge sends many more of them."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from simulated import Behaviour
from tests.eventually import assert_eventually
from tests.system.bodies import WHOLE, bodies
from tests.system.footprint import resident_mb
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.test_bridge import TOKEN, Running, bridge
from tests.system.zones import noon

CONFIG = """
[daemon]
preload_sdks = true
[limits]
max_free_requests_per_minute_per_user = 0
"""
ENVIRONMENT = noon()
BODIES = int(os.environ.get("CORTEXD_FUZZ_BODIES", "150"))  # for each endpoint
SEED = int(os.environ.get("CORTEXD_FUZZ_SEED", "0"))
_AT_A_TIME = 8
_ANSWER_S = 60
_MOST_MORE_MB = 96  # what an endpoint may add: 64 MB of them are kept conversations
_REFUSED = {400, 403, 404, 409, 413, 422, 429}
# 502: the vendor refuses what cortexd has no rule for, which costs nothing
_EXPECTED = _REFUSED | {200, 502}


@pytest.fixture(scope="module", name="running")
def running_fixture(shared_of_module: object) -> Iterator[Running]:
    with bridge() as running:
        yield running


@dataclass(slots=True)
class Seen:
    """`answered`: how many a provider has answered. `wrong`: what an endpoint must not say, with the body's number."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: int = 0
    wrong: list[str] = field(default_factory=list)


@pytest.mark.parametrize("endpoint", WHOLE)
async def test_every_body_is_answered_in_the_apis_own_form(endpoint: str, running: Running, shared: Shared) -> None:
    """Never a 500; what is refused costs nothing, what is answered what the vendor bills; memory stays bounded."""
    for provider in ("claude", "kimi_k2"):
        shared.behave(provider, Behaviour(reply="good day"))
    charged, memory = shared.books().charged_nano, resident_mb(running.process.pid)
    seen = await _asked(running, endpoint)
    print(f"\n{endpoint}: {BODIES:,} bodies, seed {SEED}: {dict(sorted(seen.statuses.items()))}")
    assert not seen.wrong, "\n".join(seen.wrong[:10])
    assert seen.statuses.total() == BODIES
    assert running.process.poll() is None
    assert resident_mb(running.process.pid) - memory < _MOST_MORE_MB
    await asyncio.to_thread(
        assert_eventually, lambda: not [row for row in shared.books().rows if row["state"] == "pending"]
    )
    assert sum(shared.requests().values()) >= seen.answered
    assert shared.books().charged_nano - charged == shared.billed_nano()
    if endpoint.endswith("count_tokens"):
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}
    else:
        assert seen.answered > 0


async def _asked(running: Running, endpoint: str) -> Seen:
    seen = Seen()
    numbered = enumerate(itertools.islice(bodies(endpoint, SEED), BODIES))
    headers = {"Content-Type": "application/json", "x-api-key": TOKEN}
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with aiohttp.ClientSession(running.url, headers=headers, timeout=timeout) as client:

        async def ask_on() -> None:
            for number, body in numbered:
                async with client.post(endpoint, data=io.BytesIO(body)) as answer:
                    _look(seen, f"{number} {body[:2000]!r}", endpoint, answer, await answer.read())

        await asyncio.gather(*(ask_on() for _ in range(_AT_A_TIME)))
    return seen


def _look(seen: Seen, name: str, endpoint: str, answer: aiohttp.ClientResponse, said: bytes) -> None:
    seen.statuses[answer.status] += 1
    if answer.status not in _EXPECTED:
        seen.wrong.append(f"status {answer.status} {said[:500]!r} for {name}")
    elif answer.content_type == "text/event-stream":
        _look_at_stream(seen, name, said)
    elif answer.content_type != "application/json":
        seen.wrong.append(f"{answer.content_type} for {name}")
    elif answer.status == 200:
        seen.answered += endpoint != "/v1/messages/count_tokens"
        json.loads(said)
    elif not _is_error(endpoint, json.loads(said)):
        seen.wrong.append(f"another form {said[:500]!r} for {name}")


def _look_at_stream(seen: Seen, name: str, said: bytes) -> None:
    told = [line.removeprefix(b"data: ") for line in said.splitlines() if line.startswith(b"data: ")]
    events = [json.loads(one) for one in told if one != b"[DONE]"]
    if not events:
        seen.wrong.append(f"an empty stream for {name}")
    seen.answered += not any(event.get("error") or event.get("type") == "response.failed" for event in events)


def _is_error(endpoint: str, told: Mapping[str, Any]) -> bool:
    error = told.get("error")
    if not isinstance(error, dict) or not error.get("message") or not isinstance(error.get("type"), str):
        return False
    if endpoint.startswith("/v1/messages"):
        return told.get("type") == "error"
    return {"param", "code"} <= error.keys()
