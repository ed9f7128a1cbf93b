"""Which program asks: the labels that keep its name, and what a command is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from cortexd.domain.safe_values import safe_text

APP, APP_VERIFIED = "app", "app_verified"  # labels: the program's name, and by whose word it is that; absent: its own
MAX_APP = 64  # characters

_INTERPRETER = re.compile(r"([a-z]+)[0-9.]*")
_VERSION = re.compile(r"v?\d+([.+-]\w+)*")
_SAYS_NOTHING = frozenset(("__main__", "cli", "index"))  # names of files
_PLACES = frozenset(("bin", "build", "current", "dist", "lib", "out", "src", "versions"))  # names of directories


@dataclass(frozen=True, slots=True)
class _Line:
    """How an interpreter's command line is read. `runs`: options whose value is what runs; `code`: the program is
    on the line; `valued`: other options with a value; `verbs`: words before what runs."""

    runs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    valued: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


_PYTHON = _Line(("-m",), ("-c",), ("-W", "-X"))
_SCRIPTING = _Line(code=("-e",), valued=("-I", "-r"))
_NODE = _Line(
    code=("-e", "-p", "--eval", "--print"),
    valued=("-r", "-C", "--require", "--import", "--loader", "--conditions"),
    verbs=("run", "x"),
)
_SHELL = _Line(code=("-c",), valued=("-o",))
_LINES = {
    **dict.fromkeys(("python", "pypy"), _PYTHON),
    **dict.fromkeys(("ruby", "perl", "php", "lua"), _SCRIPTING),
    **dict.fromkeys(("bun", "deno", "node", "nodejs"), _NODE),
    **dict.fromkeys(("bash", "dash", "sh", "zsh", "fish"), _SHELL),
    "java": _Line(("-jar", "-m", "--module"), (), ("-cp", "-classpath", "--class-path", "-p", "--module-path")),
}


class Source(StrEnum):
    """By whose word a program is called so. STARTED: cortexctl run has started it. TITLE: its own."""

    FLATPAK = "flatpak"
    SNAP = "snap"
    SYSTEMD = "systemd"
    EXECUTABLE = "executable"
    SCRIPT = "script"
    STARTED = "started"
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    source: Source

    @property
    def labels(self) -> Mapping[str, str]:
        """Of its requests."""
        own = {APP: shown_app(self.name)}
        return own if self.source is Source.TITLE else {**own, APP_VERIFIED: self.source.value}


def shown_app(name: str) -> str:
    """As a label has it: one line, MAX_APP characters at most."""
    return safe_text("".join(letter if letter.isprintable() else "?" for letter in name))[:MAX_APP]


def program_of_command(executable: str, words: Sequence[str]) -> Program:
    """The program that runs as `executable`, a path, and was started by `words`: of an interpreter its script.

    `words` may be what the program has put in their place, as Node's process.title does.
    """
    kind = _interpreter(executable)
    if not kind or not words:
        return Program(_telling(executable), Source.EXECUTABLE)
    title = words[0].strip().lstrip("-").partition(" ")[0].rstrip(":")
    if title and not _interpreter(title):
        return Program(_telling(title), Source.TITLE)
    script = _script(_LINES[kind], iter(words[1:]))
    return Program(script, Source.SCRIPT) if script else Program(_telling(executable), Source.EXECUTABLE)


def _interpreter(path: str) -> str:
    """Its name without a version; "" for another program's."""
    found = _INTERPRETER.fullmatch(PurePosixPath(path).name)
    return found[1] if found and found[1] in _LINES else ""


def _script(line: _Line, words: Iterator[str]) -> str:
    """What an interpreter was told to run; "" where that is on its own line, or nothing."""
    for word in words:
        if word in line.runs:
            return _telling(next(words, ""))
        if word in line.code:
            return ""
        if word in line.valued:
            next(words, "")
        elif not word.startswith("-") and word not in line.verbs:
            return _telling(word)
    return ""


def _telling(path: str) -> str:
    """The last part of a path that says what it is: of …/claude/versions/2.1.197 and of …/claude/dist/cli.js claude."""
    whole = PurePosixPath(path)
    for part in (whole, *whole.parents):
        mute = part.name in _PLACES or _VERSION.fullmatch(part.name) or part.stem in _SAYS_NOTHING
        if part.name and not mute:
            return part.name.removesuffix(".exe")  # so Claude Code comes from npm, on Linux too
    return whole.name
