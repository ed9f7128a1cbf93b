"""LiteLLM's Router, told what to ask as bench.sdk_worker is. Runs in the peers' environment: see bench.peers."""

from __future__ import annotations

import asyncio
import sys

from bench.peers import MODEL, model_list
from bench.sdk_worker import MAX_TOKENS, PROMPT, Ask, serve


def router_call(base_url: str) -> Ask:
    import litellm

    router = litellm.Router(model_list=model_list(base_url), num_retries=0)

    async def ask() -> str | None:
        messages = [{"role": "user", "content": PROMPT}]
        answer = await router.acompletion(model=MODEL, messages=messages, max_tokens=MAX_TOKENS)
        text: str | None = answer.choices[0].message.content
        return text

    return ask


async def main(base_url: str) -> None:
    await serve({"router": router_call(base_url)})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
