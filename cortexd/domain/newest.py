"""Bounded maps of what callers name: they keep what was put or touched last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Latest(OrderedDict[K, V], Generic[K, V]):
    """The `most` entries that were put last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> V:
        """The entry, with this value from now on."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value


class Newest(Latest[K, V]):
    """The `most` entries that were touched last."""

    def __init__(self, most: int, make: Callable[[], V]) -> None:
        super().__init__(most)
        self._make = make

    def touch(self, key: K) -> V:
        """The entry, made where it is not there."""
        return self.put(key, self[key] if key in self else self._make())
