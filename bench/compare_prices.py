"""Our catalogue beside genai-prices, at moments that tell prices apart; exit 0 always: a difference is for a person.

Seen differences that are right on our side: genai-prices charges DeepSeek's peak on weekends too, and lacks Alibaba.
"""

from __future__ import annotations

from datetime import UTC, datetime

from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from cortexd.catalog import Model, builtin_catalog
from cortexd.domain.messages import Usage
from cortexd.domain.money import from_usd

THEIR_PROVIDERS = {"claude": "anthropic", "kimi_k2": "moonshotai", "deepseek": "deepseek", "llama": "groq"}
MOMENTS = {
    "Monday noon": datetime(2026, 11, 23, 12, tzinfo=UTC),
    "Monday 07:30 UTC": datetime(2026, 11, 23, 7, 30, tzinfo=UTC),
    "Sunday 07:30 UTC": datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
}
USAGES = {
    "50k in": Usage(input_tokens=50_000),
    "500k in": Usage(input_tokens=500_000),
    "50k in, 40k cached": Usage(input_tokens=50_000, cached_tokens=40_000),
    "50k in, 40k written to the cache": Usage(input_tokens=50_000, cache_write_tokens=40_000),
    "10k out": Usage(output_tokens=10_000),
}


def theirs(model: Model, usage: Usage, moment: datetime) -> int | None:
    """genai-prices' cost in nano-dollars; None where it does not know the model."""
    provider = THEIR_PROVIDERS.get(model.provider)
    if provider is None:
        return None
    try:
        found = calc_price(
            TheirUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            ),
            model.id,
            provider_id=provider,
            genai_request_timestamp=moment,
        )
    except LookupError:
        return None
    return from_usd(found.total_price)


def main() -> None:
    catalog = builtin_catalog()
    unknown, compared, differences = [], 0, 0
    for provider in ("claude", "kimi_k2", "deepseek", "qwen", "llama"):
        for model in catalog.models_of(provider):
            for when, moment in MOMENTS.items():
                for what, usage in USAGES.items():
                    other = theirs(model, usage, moment)
                    if other is None:
                        unknown.append(model.id)
                        continue
                    compared += 1
                    own = catalog.cost(provider, model.id, usage, moment)
                    if own != other:
                        differences += 1
                        print(f"{model.id}: {what}, {when}: ours {own}, theirs {other} nano-dollars")
    for name in dict.fromkeys(unknown):
        print(f"{name}: not known to genai-prices")
    print(f"{compared} prices compared, {differences} differ")


if __name__ == "__main__":
    main()
