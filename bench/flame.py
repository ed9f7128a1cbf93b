"""A flame graph of stacks and their microseconds (bench.flamed), as SVG: a frame stands on its caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW, HEAD = 1200, 17, 44
LEAST = 0.002  # of the whole: what is narrower is left out
_LETTER = 6.4  # pixels of one, at 11
_COLOURS = {"cortexd": "#f4a261", "sqlalchemy": "#e9c46a", "aiohttp": "#8ab17d", "dbus_next": "#c39bd3"}
_BEGINS = frozenset({"asyncio/base_events.py BaseEventLoop._run_once", "threading.py Thread.run"})
_OTHER = "#b0c4de"


@dataclass(slots=True)
class Frame:
    """A function, the microseconds in it and in what it called from there."""

    name: str
    spent: int = 0
    called: dict[str, Frame] = field(default_factory=dict)


def tree(stacks: Mapping[str, int]) -> Frame:
    root = Frame("all")
    for stack, spent in stacks.items():
        root.spent += spent
        at = root
        for name in _told(stack.split(";")):
            at = at.called.setdefault(name, Frame(name))
            at.spent += spent
    return root


def _told(frames: list[str]) -> list[str]:
    """What a thread does, without what all have that begin like it."""
    begins = [at for at, name in enumerate(frames) if name in _BEGINS]
    return frames[begins[-1] if begins else 0 :]


def svg(stacks: Mapping[str, int], title: str) -> str:
    root = tree(stacks)
    boxes = list(_boxes(root, 0.0, 0, root.spent)) if root.spent else []
    height = HEAD + ROW * (1 + max((depth for _, _, depth in boxes), default=0)) + 8
    drawn = "\n".join(_drawn(frame, x, depth, root.spent, height) for frame, x, depth in boxes)
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="monospace" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="18" font-size="14">{escape(title)}</text>',
        f'<text x="8" y="34" fill="#555555">{root.spent / 1e3:.0f} ms; width is processor time, of all threads</text>',
        drawn,
        "</svg>\n",
    )
    return "\n".join(lines)


def _boxes(frame: Frame, x: float, depth: int, whole: int) -> Iterator[tuple[Frame, float, int]]:
    """Each frame that is wide enough, where it begins (0 .. 1) and how high it stands."""
    if frame.spent < LEAST * whole:
        return
    yield frame, x, depth
    for called in sorted(frame.called.values(), key=lambda one: one.name):
        yield from _boxes(called, x, depth + 1, whole)
        x += called.spent / whole


def _drawn(frame: Frame, x: float, depth: int, whole: int, height: int) -> str:
    left, width, top = x * WIDTH, WIDTH * frame.spent / whole, height - ROW * (depth + 1) - 4
    colour = _COLOURS.get(frame.name.partition("/")[0], _OTHER)
    told = escape(f"{frame.name}: {frame.spent / whole:.1%}")
    letters = int((width - 4) / _LETTER)
    short = frame.name.rpartition("/")[2]
    text = f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(short[:letters])}</text>' if letters > 2 else ""
    rect = f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.4, 0.3):.1f}" height="{ROW - 1}" fill="{colour}"/>'
    return f"<g><title>{told}</title>{rect}{text}</g>"
