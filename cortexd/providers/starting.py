"""Local endpoints that are just starting are waited for, before anybody else is asked; hosted ones never are.

- One that says it loads its model (503 and the word, as llama.cpp) is waited for as long as the request may take.
- One that refuses connections, as vLLM while it loads, for five seconds, where it answered within the last minute or
  this daemon is not older: then it is starting, too. Waited for in vain, it is not again before it has answered.

The request's deadline ends either wait, and a cancellation. Some say nothing while they load: Ollama and LM Studio do
so with the first request, and again once nobody has asked for five minutes.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator

from cortexd.domain.newest import Newest
from cortexd.errors import ProviderError

_LOADING = re.compile(r"\bloading\b|\bstarting\b|\bwarming up\b|\bnot (?:yet )?ready\b", re.IGNORECASE)
_REFUSED_S = 5.0
_LATELY_S = 60.0
_LOADED_S = 240.0
_MOST_MODELS = 256
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


def is_loading(error: ProviderError) -> bool:
    """Whether the server says that it loads its model."""
    return error.status == 503 and _LOADING.search(error.message) is not None


class Starting:
    """What is known of one endpoint's start. `clock` in seconds."""

    def __init__(self, *, local: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._local = local
        self._clock = clock
        self._seen_at = clock()
        self._models: Newest[str, float] = Newest(_MOST_MODELS, clock)  # when each answered last

    def answered(self, model: str = "") -> None:
        """A request was, or a question about its models where none is named."""
        self._seen_at = self._clock()
        if model:
            self._models.put(model, self._seen_at)

    def may_load(self, model: str) -> bool:
        """Whether a request may find the model on the disk still: it has not answered of late."""
        return self._local and self._clock() - self._models.get(model, float("-inf")) > _LOADED_S

    def waits(self, error: ProviderError, waited_s: float) -> bool:
        """Whether a request that failed with `error`, and has waited so long, shall wait and try again."""
        if not self._local:
            return False
        if is_loading(error):
            return True
        if not error.never_sent:
            return False
        if waited_s < _REFUSED_S and self._clock() - self._seen_at < _LATELY_S + _REFUSED_S:
            return True
        self._seen_at = float("-inf")
        return False


def pauses() -> Iterator[float]:
    """Seconds between tries: longer and longer, and not for all who wait at once."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
