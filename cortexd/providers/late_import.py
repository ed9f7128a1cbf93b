"""The client of a vendor's SDK, without the thousands of modules that it never looks at.

Both SDKs are generated alike: packages that only re-export names (`types`, `resources`), and a module with the client.
Here such a package loads the module behind a name when somebody asks for the name, so that everything is
there as ever, and nothing that nobody asks for. Where an SDK is made otherwise, all of it is imported as usual.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, resolve_name
from types import ModuleType
from typing import Any

from cortexd.providers.kinds import Sdk

log = logging.getLogger("cortexd.providers")

_CLIENT = "_client"
_ASKED = frozenset({"__all__", "__version__"})  # other names of this form are the import system's own questions
_STATEMENT = re.compile(
    r"from __future__ import annotations\n"
    r"|from (\.+[\w.]+) import (?:\(([^()]*)\)|([^()\n]*))\n"
    r"|__all__ = \[[^\]]*\]\n|#[^\n]*\n|\s*\n"
)
_NAME = re.compile(r"(\w+)(?:\s+as\s+(\w+))?")

Exports = Mapping[str, tuple[str, str]]
"""Name -> the module that has it, and what it is called there."""


def import_client(sdk: Sdk) -> Callable[..., Any]:
    """The class of its client for an event loop. Raises ImportError. For one thread at a time: how this SDK's modules
    are found changes meanwhile."""
    return _client(sdk.module, sdk.asynchronous, sdk.unasked)


@cache
def _client(module: str, client: str, unasked: tuple[str, ...]) -> Callable[..., Any]:
    if module not in sys.modules:  # else a program has imported all of it
        try:
            return _by_itself(module, client, unasked)
        except Exception as error:  # noqa: BLE001 (whatever it is, the SDK's own order may do without it)
            log.info("%s is imported as a whole: %r", module, error)
            _forget(module)
    return _of(importlib.import_module(module), client)


def _by_itself(module: str, client: str, unasked: tuple[str, ...]) -> Callable[..., Any]:
    finder = _Finder(module, unasked)
    sys.meta_path.insert(0, finder)
    try:
        return _of(importlib.import_module(f"{module}.{_CLIENT}"), client)
    finally:
        sys.meta_path.remove(finder)


def _of(module: ModuleType, client: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(module, client)
    return found


def _forget(module: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds the modules of one SDK."""

    def __init__(self, module: str, unasked: tuple[str, ...]) -> None:
        self._module, self._unasked = module, unasked

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        late: type[_Loader] | None = None
        if fullname in self._unasked:
            late = _UnaskedLoader
        elif spec.submodule_search_locations is not None:
            late = _RootLoader if fullname == self._module else _Loader
        if late is not None:
            spec.loader = late(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Executes a package that only re-exports when it has to, and any other at once."""

    def exec_module(self, module: ModuleType) -> None:
        exports = self._exports()
        if exports is None:
            super().exec_module(module)
        else:
            vars(module)["__getattr__"] = lambda name: self._late(module, exports, name)
            vars(module)["__dir__"] = lambda: self._listed(module)

    def _exports(self) -> Exports | None:
        return re_exported(self.get_source(self.name) or "", self.name)

    def _late(self, module: ModuleType, exports: Exports, name: str) -> Any:
        """The attribute `name`, which the module does not have so far."""
        if name in exports:
            there, called = exports[name]
            value = getattr(importlib.import_module(there), called)
        elif name.startswith("__") and name not in _ASKED:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        elif _has_part(module, name):
            value = importlib.import_module(f"{module.__name__}.{name}")
        else:
            return self._whole(module, name)
        vars(module)[name] = value
        return value

    def _whole(self, module: ModuleType, name: str) -> Any:
        """The attribute once the module is executed as it stands."""
        self._execute(module)
        return getattr(module, name)

    def _listed(self, module: ModuleType) -> list[str]:
        self._execute(module)
        return dir(module)

    def _execute(self, module: ModuleType) -> None:
        late = [vars(module).pop(name, None) for name in ("__getattr__", "__dir__")]
        if any(late):
            super().exec_module(module)


class _RootLoader(_Loader):
    """The SDK itself: beside its client nothing is asked of it here."""

    def _exports(self) -> Exports | None:
        return {}


class _UnaskedLoader(_Loader):
    """A module whose functions nobody calls here: each is loaded by its first call."""

    def _exports(self) -> Exports | None:
        return super()._exports() or {}

    def _late(self, module: ModuleType, exports: Exports, name: str) -> Any:
        if name.startswith("_") or not name.islower() or _has_part(module, name):
            return super()._late(module, exports, name)

        def first_called(*arguments: Any, **named: Any) -> Any:
            return self._whole(module, name)(*arguments, **named)

        vars(module)[name] = first_called
        return first_called


def _has_part(module: ModuleType, name: str) -> bool:
    return hasattr(module, "__path__") and find_spec(f"{module.__name__}.{name}") is not None


def re_exported(source: str, package: str) -> Exports | None:
    """The names that a package's source takes from modules below or beside it. None where it does anything else, or
    where a name is also a module's."""
    exports: dict[str, tuple[str, str]] = {}
    parts: set[str] = set()
    at, source = 0, source + "\n"
    while at < len(source):
        found = _STATEMENT.match(source, at)
        if found is None:
            return None
        at = found.end()
        if found[1]:
            there = resolve_name(found[1], package)
            parts.add(found[1][1:].partition(".")[0])
            for name in re.sub("#.*", "", found[2] or found[3]).split(","):
                taken = _NAME.fullmatch(name.strip())
                if taken is not None:
                    exports[taken[2] or taken[1]] = there, taken[1]
                elif name.strip():
                    return None
    return None if parts & exports.keys() else exports
