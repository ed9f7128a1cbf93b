"""How much one request may hold."""

from __future__ import annotations

from cortexd.domain.value import value


@value
class Bounds:
    """How much one request may hold; bytes are UTF-8 bytes of all texts together."""

    max_prompt_bytes: int = 8 * 1024 * 1024
    max_messages: int = 4096
    max_tools: int = 256
    max_deadline_ms: int = 3_600_000


USUAL = Bounds()
