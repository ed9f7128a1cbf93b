"""Attributes of LLMRouter that are looked up when they are read, and the word about those that do not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, cast

from cortexd.domain.close_words import close_words
from cortexd.domain.tasks import TaskType
from cortexd.library.types import LLMProvider


class DefaultRules:
    """The built-in routing table, on the class; each router has a copy of its own."""

    def __get__(self, router: object, owner: type) -> MutableMapping[TaskType, LLMProvider]:
        from cortexd.config.defaults import ROUTING_TABLE

        rules = {task: LLMProvider(targets[0].provider) for task, targets in ROUTING_TABLE.items()}
        return cast("MutableMapping[TaskType, LLMProvider]", MappingProxyType(rules))


class ReadOnly:
    """What `read` gives of the router; `instead` says what to do for whoever assigns to it."""

    def __init__(self, read: Callable[[Any], Any], instead: str) -> None:
        self._read = read
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, router: Any, owner: type) -> Any:
        return self if router is None else self._read(router)

    def __set__(self, router: Any, value: object) -> None:
        raise AttributeError(f"LLMRouter.{self._name} cannot be assigned; {self._instead}")


class Prices:
    """USD per million tokens of each provider's default model, of the class and of a router alike: dictionaries of
    `input` and `output`. NaN where the price is not known."""

    def __get__(self, router: object, owner: type) -> Mapping[LLMProvider, Mapping[str, float]]:
        from cortexd.library.prices import list_prices

        return list_prices()

    def __set__(self, router: object, value: object) -> None:
        raise AttributeError("LLMRouter.COSTS cannot be assigned; prices are those of cortexd's catalogue")


class Client:
    """A provider's SDK client as an attribute: made when first read, None without a key and over the bus, replaceable,
    `del` undoes."""

    def __init__(self, provider: LLMProvider, *, asynchronous: bool = False) -> None:
        self._provider = provider.value
        self._asynchronous = asynchronous

    def __get__(self, router: Any, owner: type) -> Any:
        if router is None:
            return self
        clients = router._engine.clients
        return (clients.of_this_loop if self._asynchronous else clients.blocking)(self._provider)

    def __set__(self, router: Any, client: Any) -> None:
        router._engine.clients.replace(self._provider, self._asynchronous, client)

    def __delete__(self, router: Any) -> None:
        router._engine.clients.restore(self._provider, self._asynchronous)


def refuse_unknown(router: type, name: str, known: Iterable[str]) -> None:
    """Raises AttributeError where `name` would be set and never read; a subclass and private names may set any."""
    names = {*known, *(key for key in dir(router) if not key.startswith("_"))}
    if name in names or name.startswith("_"):
        return
    near = close_words(name, names)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"LLMRouter has no attribute {name!r}{hint}")
