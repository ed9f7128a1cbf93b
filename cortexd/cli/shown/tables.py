"""Tables: drawn by rich on a terminal, as plain aligned columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.cli.shown.terminal import is_terminal, may_style, one_line, print_text

_GAP = 3  # rich's, between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """`right`: for numbers. One without a title, which comes last, holds bars."""

    title: str
    right: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """One row of text per entry; cells are made harmless and single-line."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw(columns, cells, title)
    else:
        print_text("\n".join([*([title] if title else []), *_aligned(columns, cells)]))


def _aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [[column.title for column in columns], *rows]
    widths = _widths(columns, rows)
    return [
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in table
    ]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, [column.title, *(row[index] for row in rows)])) for index, column in enumerate(columns)]


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    """Numbers are never broken: in a table wider than the terminal their headings are, and gaps are one blank. Bars go
    where there is no room even so."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, color_system="auto" if may_style(sys.stdout) else None)
    if not columns[-1].title and sum(_widths(columns, rows)) + len(columns) > console.width:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    wide = sum(_widths(columns, rows)) + _GAP * len(columns) > console.width
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0) if wide else (0, 1),
    )
    for column in columns:
        heading = column.title.replace(" ", "\n") if wide and column.right else column.title
        table.add_column(
            Text(heading), justify="right" if column.right else "left", overflow="fold", no_wrap=column.right
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    sys.stdout.flush()
