"""TensorZero's gateway inside a program, told what to ask as bench.sdk_worker is. Runs in the peers' environment: see
bench.peers. Its own records, which it keeps in ClickHouse, are off.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.peers import MODEL
from bench.sdk_worker import MAX_TOKENS, PROMPT, Ask, serve

_CONFIG = """
[gateway]
observability.enabled = false
[models.{model}]
routing = ["upstream"]
[models.{model}.providers.upstream]
type = "anthropic"
model_name = "claude-sonnet-5-5"
api_base = "{base_url}/v1"
"""


async def tensorzero_call(base_url: str) -> Ask:
    from tensorzero import AsyncTensorZeroGateway

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "tensorzero.toml"
        file.write_text(_CONFIG.format(model=MODEL, base_url=base_url))
        gateway: Any = await AsyncTensorZeroGateway.build_embedded(config_file=str(file))
    messages = [{"role": "user", "content": PROMPT}]

    async def ask() -> str | None:
        answer = await gateway.inference(
            model_name=MODEL,
            input={"messages": messages},
            params={"chat_completion": {"max_tokens": MAX_TOKENS}},
        )
        text: str | None = answer.content[0].text
        return text

    return ask


async def main(base_url: str) -> None:
    await serve({"tensorzero": await tensorzero_call(base_url)})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
