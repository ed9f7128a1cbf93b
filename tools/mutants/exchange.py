"""A function's code exchanged in place, so that whoever holds the function has the mutant."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any


class Unfit(Exception):
    """The mutant cannot stand in for the function: it does not even load, or closes over other names."""


def exchange(path: str, function: str, text: str, *, defaults: bool) -> None:
    """Give the loaded module's function the code that it has in `text`; `defaults`: those of its arguments too."""
    name = path.removesuffix(".py").replace("/", ".")
    live = sys.modules[name]
    scratch = ModuleType(name)
    scratch.__dict__.update({"__file__": live.__file__, "__package__": live.__package__})
    try:
        exec(compile(text, str(live.__file__), "exec", dont_inherit=True), scratch.__dict__)  # noqa: S102 - our own code
        ours, theirs = _found(live, function), _found(scratch, function)
        ours.__code__ = theirs.__code__
        if defaults:
            ours.__defaults__, ours.__kwdefaults__ = theirs.__defaults__, theirs.__kwdefaults__
    except Exception as error:  # noqa: BLE001 - whatever a mutant does when it is loaded
        raise Unfit(f"{type(error).__name__}: {error}") from None
    forget()


def forget() -> None:
    """Empty the package's caches: what one holds from before the exchange would hide the mutant."""
    for name in [name for name in sys.modules if name.startswith("cortexd.")]:
        for value in list(vars(sys.modules[name]).values()):
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


def _found(module: ModuleType, qualified: str) -> FunctionType:
    holder: Any = module
    for part in qualified.split("."):
        holder = vars(holder)[part]
    return _undecorated(holder)


def _undecorated(value: Any) -> FunctionType:
    """Behind property, classmethod, staticmethod, cached_property, cache and contextmanager."""
    for attribute in ("fget", "__func__", "func", "__wrapped__"):
        inner = getattr(value, attribute, None)
        if isinstance(inner, Callable):  # type: ignore[arg-type]
            return _undecorated(inner)
    assert isinstance(value, FunctionType), value
    return value
