"""What is wrong with a configuration, gathered: one check tells all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cortexd.domain.close_words import close_words
from cortexd.errors import ConfigError, Problem


class Expectation(Exception):
    """What a setting expects, in words. `why` it does; `path` and `got` where the fault is inside the value."""

    def __init__(self, words: str, path: str = "", got: object = None, why: str = "") -> None:
        super().__init__(words)
        self.path = path
        self.got = got
        self.why = why


class UnknownSetting(Expectation):
    """A key at `path` that no setting has; those that there are in `known`."""

    def __init__(self, path: str, known: Collection[str]) -> None:
        super().__init__(unknown_setting(path.rpartition(".")[2], known), path)


def unknown_setting(key: str, known: Collection[str]) -> str:
    near = close_words(key, known)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return f"unknown setting; {hint}"


class Unshown:
    """Stands in an error's text for a value that may be a secret."""

    def __init__(self, value: object) -> None:
        self._words = f"a text of {len(value)} characters" if isinstance(value, str) else f"a {type(value).__name__}"

    def __repr__(self) -> str:
        return self._words


class Problems:
    """The faults found so far, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, file: Path | str, key: str, reason: str) -> None:
        self._found[Problem(str(file), key, reason)] = None

    @contextmanager
    def collected(self) -> Iterator[None]:
        """What the block raises as ConfigError is one more to tell, and no reason to stop."""
        try:
            yield
        except ConfigError as error:
            self._found.update(dict.fromkeys(error.problems))

    def raise_any(self) -> None:
        if self._found:
            raise ConfigError(*self._found)
