"""One answered attempt, as far as anything can be learnt from it: no words, and nobody's name."""

from __future__ import annotations

from cortexd.domain.messages import Usage
from cortexd.domain.value import value


@value
class Answered:
    """`at`: seconds since 1970. `first_token_ms`: when its first word came, which is `latency_ms` where it came in one
    piece, and None where its time says nothing. `prompt_bytes`: None where there were more than texts. `continued`: it
    went on with a conversation."""

    provider: str
    model: str
    task_type: str
    usage: Usage | None
    latency_ms: int
    at: float
    first_token_ms: int | None = None
    prompt_bytes: int | None = None
    continued: bool | None = None
