"""A vendor at a host's loopback: each request costs the same, and is written down by its prompt as it is billed."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

PORT = 8000
INPUT_TOKENS, OUTPUT_TOKENS = 10, 100
_TAKES_S = (0.1, 1.5)  # at random


def application(bills: Path) -> web.Application:
    book = bills.open("a", buffering=1)

    async def complete(request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        await asyncio.sleep(random.uniform(*_TAKES_S))
        book.write(f"{body['model']} {body['messages'][-1]['content']}\n")
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        )

    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "paid"}, {"id": "free"}]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    return app


if __name__ == "__main__":
    web.run_app(application(Path(sys.argv[1])), host="127.0.0.1", port=PORT, print=None)
