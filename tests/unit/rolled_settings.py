"""Settings files rolled by chance: any data, written in any way that people and programs write it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

_WORDS = ("theme", "env", "model", "a b", "ü", "//x", "#y", "{", "auto", "cortex", "no", "1", "")
_SCALARS: tuple[Any, ...] = (1, -2.5, True, None, "dark", "x: y # z", '"{[,', "// no", "/* no */", "é", "", "auto")
_COMMENTS = ("// one", "/* two */", '// { " [', "/* , } */", "// /* open")


def data(random: Random, depth: int = 3) -> Any:
    """A map, with what fits below it."""
    return {key: _value(random, depth - 1) for key in random.sample(_WORDS, random.randrange(5))}


def _value(random: Random, depth: int) -> Any:
    kind = random.randrange(4) if depth else 3
    if kind == 0:
        return data(random, depth)
    if kind == 1:
        return [_value(random, depth - 1) for _ in range(random.randrange(4))]
    return random.choice(_SCALARS)


def as_json(random: Random, value: Any) -> str:
    """With blanks, line ends, comments and commas at the end as they fall."""
    end = random.choice(("\n", "\r\n"))
    quiet = random.random() < 0.3
    indent = random.choice(("  ", "    ", "\t", ""))

    def gap(depth: int) -> str:
        if quiet:
            return f"{end}{indent * depth}"
        found = random.choice(("", " ", end, f"{end}{indent * depth}", f"{end}{end}{indent * depth}"))
        if random.random() < 0.25:
            comment = random.choice(_COMMENTS)
            found += f" {comment}{end if comment[:2] == '//' else ''}{random.choice(('', indent * depth))}"
        return found

    def shown(item: Any, depth: int) -> str:
        if not isinstance(item, dict | list):
            return json.dumps(item, ensure_ascii=random.random() < 0.5)
        opening, closing = "{}" if isinstance(item, dict) else "[]"
        if isinstance(item, dict):
            parts = [
                f"{json.dumps(key)}{gap(depth)}:{gap(depth)}{shown(below, depth + 1)}" for key, below in item.items()
            ]
        else:
            parts = [shown(below, depth + 1) for below in item]
        body = ""
        for number, part in enumerate(parts):
            comma = "," if number < len(parts) - 1 or random.random() < 0.2 else ""
            body += f"{gap(depth + 1)}{part}{gap(depth + 1) if not quiet else ''}{comma}"
        return f"{opening}{body}{gap(depth)}{closing}"

    return f"{gap(0).lstrip()}{shown(value, 0)}{random.choice(('', end, end * 2))}"


def as_yaml(random: Random, value: Any) -> str:
    """By the library, in one of its styles, with comments and blank lines between the lines at the top."""
    import yaml

    end = random.choice(("\n", "\r\n"))
    if not value:
        return random.choice(("", "# nothing\n", "---\n"))
    text = yaml.safe_dump(
        value,
        indent=random.choice((2, 4)),
        default_flow_style=random.choice((False, False, None)),
        allow_unicode=random.random() < 0.5,
        sort_keys=False,
    )
    lines = []
    for line in text.splitlines():
        if line[:1] not in (" ", "-", "?", ":") and random.random() < 0.3:
            lines.append(random.choice(("", "# a comment: here")))
        lines.append(line)
    return end.join(lines) + random.choice(("", end))


def as_toml(random: Random, value: dict[str, Any]) -> str:
    """Keys, inline values and tables, with comments between."""
    end = random.choice(("\n", "\r\n"))
    lines: list[str] = []

    def literal(item: Any) -> str:
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {literal(below)}" for key, below in item.items()) + " }"
        if isinstance(item, list):
            brk = end if random.random() < 0.3 else ""
            return f"[{brk}" + f", {brk}".join(map(literal, item)) + f"{brk}]"
        return '"none"' if item is None else json.dumps(item, ensure_ascii=False)

    def table(below: dict[str, Any], path: list[str]) -> None:
        tables = {key: item for key, item in below.items() if isinstance(item, dict) and random.random() < 0.7}
        for key, item in below.items():
            if random.random() < 0.2:
                lines.append(random.choice(("", "# [not] a = 1", "   # comment")))
            if key not in tables:
                lines.append(f"{json.dumps(key)} = {literal(item)}{random.choice(('', '', ' # why'))}")
        for key, item in tables.items():
            lines.append(random.choice(("", "# of it")))
            lines.append(f"[{'.'.join(map(json.dumps, [*path, key]))}]")
            table(item, [*path, key])

    table(value, [])
    return end.join(lines) + random.choice(("", end))


WRITERS = {"JSON": as_json, "YAML": as_yaml, "TOML": as_toml}
