"""A bounded map of what callers name: it keeps what was touched last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Newest(OrderedDict[K, V], Generic[K, V]):
    """The `most` entries that were touched last."""

    def __init__(self, most: int, make: Callable[[], V]) -> None:
        super().__init__()
        self._most = most
        self._make = make

    def touch(self, key: K) -> V:
        """The entry, made where it is not there."""
        return self.put(key, self[key] if key in self else self._make())

    def put(self, key: K, value: V) -> V:
        """The entry, with this value from now on."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value
