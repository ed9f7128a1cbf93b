"""Where requests may go, as people write it: `provider`, `provider/model`, or several of these in their order."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from cortexd.domain.value import value

MOST_TARGETS = 16  # in one row
_MOST_CHARS = 256


@value
class Target:
    """A provider and one of its models; `model` is None for the one that the provider's settings name."""

    provider: str
    model: str | None = None

    def __str__(self) -> str:
        return self.provider if self.model is None else f"{self.provider}/{self.model}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """From `provider` or `provider/model`; a model's name may hold slashes. Raises ValueError."""
        provider, slash, model = text.partition("/")
        if not provider or bool(slash) != bool(model) or not printed_alone(text):
            raise ValueError(text)
        return cls(provider, model or None)


@lru_cache(maxsize=4096)  # callers choose models' names
def shared(provider: str, model: str | None) -> Target:
    """The one Target of that name, for what looks up many at each request: what is identical need not be compared."""
    return Target(provider, model)


def printed_alone(text: str) -> bool:
    """Whether it can stand in a list of names: printable, without blanks and commas, of bearable length."""
    return 0 < len(text) <= _MOST_CHARS and text.isprintable() and not any(char in text for char in ' ,"')


def covered(target: Target, by: Collection[Target]) -> bool:
    """Whether `by` names the target, or its provider alone and so all of its models."""
    return target in by or Target(target.provider) in by


def parse_targets(text: str) -> tuple[Target, ...]:
    """From a list with commas, the first choice first, each once. Raises ValueError."""
    targets = tuple(dict.fromkeys(Target.parse(item.strip()) for item in text.split(",")))
    if len(targets) > MOST_TARGETS:
        raise ValueError(text)
    return targets


def written(targets: tuple[Target, ...]) -> str:
    """As `parse_targets` reads it."""
    return ", ".join(map(str, targets))
