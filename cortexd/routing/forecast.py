"""What an answer of one model is likely to take: tokens, money, time. By what was observed, the catalogue and the
conversation so far."""

from __future__ import annotations

import math
from dataclasses import replace

from cortexd.catalog import Catalog, Model
from cortexd.domain.messages import Role, Usage
from cortexd.domain.money import Price, cost_nano
from cortexd.domain.targets import Target
from cortexd.domain.value import value
from cortexd.routing.observed import Observed
from cortexd.routing.question import PromptSize, Question

_DIGITS = 2  # that a prediction shows: it is no more exact, and tells nobody another's single answer


@value
class Forecast:
    """None is for what is not known. `cached_share`: the part of the prompt that the model's cache is likely to hold, 0
    to 1. `cost_nano`: the effective price, in nano-dollars. `ms`: to the last token. `quality`: the catalogue's."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_share: float | None = None
    cost_nano: int | None = None
    first_token_ms: float | None = None
    tokens_per_s: float | None = None
    ms: float | None = None
    quality: float | None = None


UNKNOWN = Forecast()


@value
class Switch:
    """What a model takes more because it lacks the cache of a conversation: nano-dollars and milliseconds; `known`: it
    is another one than the conversation's."""

    nano: int = 0
    ms: float = 0.0
    known: bool = False


NO_SWITCH = Switch()


def continued(question: Question, sticky: Target | None, target: Target) -> bool:
    """Whether `target` has likely seen the beginning of this conversation: who answers in the session (`sticky`, with
    its model), or, where there is none, whoever is asked to go on."""
    if sticky is not None:
        return sticky == target
    return any(message.role is Role.ASSISTANT for message in question.messages)


def likely_prompt(observed: Observed, size: PromptSize, model: Model) -> int:
    """Tokens, images included."""
    texts = observed.prompt_tokens(model.provider, model.id, size.text_bytes)
    return min(_rounded(texts) + size.images * model.image_tokens, size.most_tokens(model))


def forecast(
    question: Question,
    size: PromptSize,
    catalog: Catalog,
    observed: Observed,
    sticky: Target | None,
    target: Target,
    most_tokens: int,
) -> Forecast:
    """Of `target`, with its model, for an answer of at most `most_tokens`."""
    provider, name = target.provider, target.model or ""
    model = catalog.model(provider, name)
    prompt = likely_prompt(observed, size, model)
    output = min(most_tokens, _rounded(observed.output_tokens(provider, name, question.task_type)))
    read, written = _cached(question, observed, sticky, target)
    price = catalog.price(provider, name, question.moment, prompt)
    timing = observed.timing(provider, name, prompt * (1 - read), output)
    return Forecast(
        prompt,
        output,
        read,
        None if price is None else _effective(prompt, output, read, written, price),
        _shown(timing.first_token_ms),
        _shown(timing.tokens_per_s),
        _shown(timing.ms),
        model.quality_for(question.task_type),
    )


def switched(
    question: Question, catalog: Catalog, observed: Observed, incumbent: Target, target: Target, known: Forecast
) -> tuple[Forecast, Switch]:
    """The forecast of a conversation that has been with `incumbent`, and what of it `target` owes to the switch: as
    much of the prompt as it usually finds in its cache then, or else as the other one does."""
    provider, name = target.provider, target.model or ""
    read, written = observed.cached_shares(provider, name, continued=True)
    if target == incumbent or known.input_tokens is None or known.output_tokens is None:
        return known, NO_SWITCH
    read = read or observed.cached_shares(incumbent.provider, incumbent.model or "", continued=True)[0]
    prompt, output = known.input_tokens, known.output_tokens
    price = catalog.price(provider, name, question.moment, prompt)
    cold = 0 if price is None else _effective(prompt, output, 0.0, written, price)
    warm = 0 if price is None else _effective(prompt, output, read, min(written, 1 - read), price)
    timing = observed.timing(provider, name, prompt, output)
    warm_ms = observed.timing(provider, name, prompt * (1 - read), output).ms
    ms = 0.0 if timing.ms is None or warm_ms is None else max(0.0, timing.ms - warm_ms)
    cost = None if price is None else cold
    now = replace(known, cached_share=0.0, cost_nano=cost, first_token_ms=_shown(timing.first_token_ms))
    return replace(now, ms=_shown(timing.ms)), Switch(max(0, cold - warm), ms, known=True)


def _cached(question: Question, observed: Observed, sticky: Target | None, target: Target) -> tuple[float, float]:
    """The parts of the prompt that are likely read from the model's cache and written to it. Where another one answers
    in the session nothing is cached: that is what a switch loses."""
    goes_on = continued(question, sticky, target)
    read, written = observed.cached_shares(target.provider, target.model or "", continued=goes_on)
    if sticky is not None and not goes_on:
        read = 0.0
    read = round(read, _DIGITS)
    return read, round(min(written, 1 - read), _DIGITS)


def _effective(prompt: int, output: int, read: float, written: float, price: Price) -> int:
    return cost_nano(Usage(prompt, output, round(prompt * read), round(prompt * written)), price)


def _shown(figure: float | None) -> float | None:
    return None if figure is None else float(_significant(figure))


def _rounded(tokens: float) -> int:
    return max(1, round(_significant(tokens)))


def _significant(figure: float) -> float:
    """In as many digits as a prediction has."""
    return round(figure, _DIGITS - 1 - math.floor(math.log10(figure))) if figure > 0 else 0.0
