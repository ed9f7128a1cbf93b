"""Values that many are made of at each request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """As `dataclass(frozen=True, slots=True)`, but the type checker alone keeps it from being changed: what does so at
    run time takes seven times as long to make one."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
