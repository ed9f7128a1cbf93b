"""Orders as the arguments of a call."""

from __future__ import annotations

from typing import Any

from gi.repository import GLib

from cortex_llm_applet.logic.orders import Order

_SIGNATURES = {str: "s", int: "x"}


def arguments_of(order: Order) -> tuple[Any, ...]:
    if order.options is None:
        return order.words
    options = {key: GLib.Variant(_SIGNATURES[type(value)], value) for key, value in order.options.items()}
    return (*order.words, options)
