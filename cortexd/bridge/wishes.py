"""What is wished of the bridge: names that stand for others, and how single programs are served.

The computer's file is /etc/cortexd/bridge.toml, which everybody may read; the user's own, bridge.toml in
~/.config/cortex-llm, stands above it, key by key. What is wrong in them is told and left out; the rest holds.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cortexd.bridge.places import settings_paths
from cortexd.domain.close_words import close_words
from cortexd.domain.tasks import TaskType
from cortexd.errors import Problem

_log = logging.getLogger(__name__)
_SECTIONS = ("aliases", "apps")
_MOST = 256  # aliases, and programs
_MOST_LETTERS = 256
# Programs that write code, as they are called (cortexctl usage --by app): what they ask is for code, unless they say.
_CODING = (
    "aider", "claude", "claude-code", "cline", "cn", "codex", "continue", "crush", "goose", "opencode", "qwen",
    "code", "codium", "cursor", "zed", "com.visualstudio.code", "com.vscodium.codium", "dev.zed.Zed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AppWishes:
    """Of one program. `task`: what its requests are for that do not say; `model`: who answers where it asks for nobody
    in particular, or for what is not here."""

    task: str = ""
    model: str = ""


_USUAL = {name: AppWishes(TaskType.CODE_GENERATION.value) for name in _CODING}
_NOTHING = AppWishes()


@dataclass(frozen=True, slots=True)
class Wishes:
    """`aliases`: name or pattern -> what is meant; `apps`: by the program's name; `problems`: what was left out."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    apps: Mapping[str, AppWishes] = field(default_factory=lambda: _USUAL)
    problems: tuple[Problem, ...] = ()

    def of(self, app: str) -> AppWishes:
        return self.apps.get(app, _NOTHING)

    def meant(self, name: str) -> str:
        """What an alias makes of it: that name's own, else the longest pattern's; "" for none."""
        if name in self.aliases:
            return self.aliases[name]
        fitting = [pattern for pattern in self.aliases if fnmatchcase(name, pattern)]
        return self.aliases[max(fitting, key=len)] if fitting else ""

    @property
    def targets(self) -> Mapping[str, str]:
        """The names that all this leads to, by setting."""
        models = {f"apps.{name}.model": app.model for name, app in self.apps.items() if app.model}
        return {**{f"aliases.{name}": target for name, target in self.aliases.items()}, **models}


def read_wishes(files: Sequence[Path]) -> Wishes:
    """What the files say, the later above the earlier. One that is not there says nothing."""
    wishes, problems = Wishes(), list[Problem]()
    for file in filter(os.path.lexists, files):
        wishes = _Reading(file, problems).over(wishes)
    return replace(wishes, problems=tuple(problems))


class KeptWishes:
    """As they now are: the files are looked at for every request, and read again when another one lies there."""

    def __init__(self, files: Sequence[Path] | None = None) -> None:
        self._files = settings_paths() if files is None else files
        self._seen: tuple[Any, ...] | None = None
        self._now = Wishes()

    @property
    def now(self) -> Wishes:
        seen = tuple(map(_mark, self._files))
        if seen != self._seen:
            self._seen = seen
            self._now = read_wishes(self._files)
            for problem in self._now.problems:
                _log.warning("%s", problem)
        return self._now


def _mark(file: Path) -> tuple[int, ...]:
    """What differs where the file is another one; of none nothing."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(slots=True)
class _Reading:
    """One file. Its faults go to `problems`."""

    file: Path
    problems: list[Problem]
    text: str = ""

    def over(self, wishes: Wishes) -> Wishes:
        table = self._table()
        for name in table.keys() - set(_SECTIONS):
            self._refuse(name, "", f"unknown setting; {_nearest(name, _SECTIONS)}")
        aliases, apps = (self._section(table, name) for name in _SECTIONS)
        return replace(
            wishes,
            aliases={**wishes.aliases, **dict(self._texts("aliases", aliases))},
            apps={**wishes.apps, **self._apps(apps, wishes)},
        )

    def _section(self, table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        section = table.get(name, {})
        if isinstance(section, dict):
            return section
        self._refuse(name, "", f"expected a table, [{name}]")
        return {}

    def _table(self) -> dict[str, Any]:
        from cortexd.config.files import Unusable, read_file  # 80 ms, which most have no use for

        try:
            self.text = read_file(self.file).decode("utf-8")
            return tomllib.loads(self.text)
        except Unusable as reason:
            words = str(reason)
        except UnicodeDecodeError:
            words = "is not UTF-8 text"
        except (ValueError, RecursionError) as error:
            words = f"is not valid TOML: {error}"
        self.problems.append(Problem(str(self.file), "", words))
        return {}

    def _apps(self, table: Mapping[str, Any], before: Wishes) -> dict[str, AppWishes]:
        found = {}
        for name, rows in self._few("apps", table):
            if isinstance(rows, dict):
                found[name] = replace(before.of(name), **dict(self._app(f"apps.{name}", rows)))
            else:
                self._refuse("apps", name, 'expected a table such as { task = "code_generation" }')
        return found

    def _app(self, section: str, rows: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        known, tasks = [item.name for item in fields(AppWishes)], [task.value for task in TaskType]
        for key, value in self._texts(section, rows):
            if key not in known:
                self._refuse(section, key, f"unknown setting; {_nearest(key, known)}")
            elif key == "task" and value not in tasks:
                self._refuse(section, key, f"unknown task type {value!r}; {_nearest(value, tasks)}")
            else:
                yield key, value

    def _few(self, section: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for number, (key, value) in enumerate(table.items()):
            if number >= _MOST:
                return self._refuse(section, key, f"expected {_MOST} rows at most")
            yield key, value

    def _texts(self, section: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for key, value in self._few(section, table):
            if isinstance(value, str) and 0 < len(value) <= _MOST_LETTERS and value.isprintable() and key:
                yield key, value
            else:
                self._refuse(section, key, f"expected a text of 1 to {_MOST_LETTERS} letters")

    def _refuse(self, section: str, key: str, reason: str) -> None:
        line = line_of(self.text, section, key)
        place = f"{self.file}:{line}" if line else str(self.file)
        self.problems.append(Problem(place, f"{section}.{key}" if key else section, reason))


def _nearest(name: str, known: Collection[str]) -> str:
    near = close_words(name, known)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"


def line_of(text: str, section: str, key: str) -> int:
    """The number of the line that says it, the section's own where `key` is ""; 0 where it is written otherwise."""
    here = ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            here = bare.partition("]")[0].strip("[] ").replace('"', "").replace("'", "")
            if here == section and not key:
                return number
        elif here == section and key and bare.partition("=")[0].strip().strip("\"'") == key:
            return number
    return 0
