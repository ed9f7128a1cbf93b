"""Which models a pool's endpoints say they have: all of them together, and who has which."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from cortexd.domain.served import MOST_MODELS, ServedModel
from cortexd.errors import Failure, ProviderError
from cortexd.pool.replica import Replica

_OTHERS_S = 3.0  # so long the others are waited for, once one has said its models


async def ask_all(replicas: Sequence[Replica]) -> tuple[ServedModel, ...]:
    """The models of all that answer, each once. Raises ProviderError where nobody does."""
    asked = [asyncio.create_task(item.ask_models()) for item in replicas if item.usable]
    try:
        await _most_of(asked)
    finally:
        for task in asked:
            task.cancel()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    said = [models for models in ended if not isinstance(models, BaseException)]
    if said:
        return together(said)
    errors = [error for error in ended if isinstance(error, ProviderError)]
    raise errors[-1] if errors else ProviderError(Failure.CONNECTION, "no endpoint can be asked")


def together(lists: Iterable[Iterable[ServedModel]]) -> tuple[ServedModel, ...]:
    """Each model once, with the least that any endpoint takes: a prompt may go to each that has the model."""
    found: dict[str, ServedModel] = {}
    for model in (model for models in lists for model in models):
        known = found.get(model.id)
        if known is not None:
            found[model.id] = _of_both(known, model)
        elif len(found) < MOST_MODELS:
            found[model.id] = model
    return tuple(found.values())


def listed_elsewhere(item: Replica, model: str, replicas: Collection[Replica]) -> bool:
    """Whether the endpoint's list is known and lacks the model, and another one's has it."""
    if item.listed is None or model in item.listed:
        return False
    return any(model in (other.listed or ()) for other in replicas)


async def _most_of(asked: Sequence[asyncio.Task[tuple[ServedModel, ...]]]) -> None:
    """Return once all have ended, or soon after the first that answered."""
    waited = set(asked)
    while waited:
        done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if waited and any(task.exception() is None for task in done):
            await asyncio.wait(waited, timeout=_OTHERS_S)
            return


def _of_both(one: ServedModel, other: ServedModel) -> ServedModel:
    return replace(
        one,
        context_tokens=_least(one.context_tokens, other.context_tokens),
        output_tokens=_least(one.output_tokens, other.output_tokens),
        loaded=other.loaded if one.loaded is None else one.loaded or other.loaded,
    )


def _least(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known, default=None)
