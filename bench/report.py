"""The figures for people: a table against the targets, and these in words. For machines: one flat JSON object."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import Case, Figure
from bench.turns import Turns

Row = tuple[str, ...]
_HEAD: Row = ("figure", "measured", "target", "of target", "met")
_BESIDE: Row = ("figure", "baseline", "today", "ratio", "target", "met")


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _row(figure: Figure, value: float) -> Row:
    measured = _quantity(figure, value)
    target = figure.target
    if target is None:
        return figure.name, measured, "", "", ""
    sign = "≤" if figure.at_most is not None else "≥"
    ratio = f"{value / target:.0%}" if target else ""
    return figure.name, measured, f"{sign} {_number(target)}", ratio, "yes" if figure.met_by(value) else "NO"


def table(cases: Sequence[Case], values: Mapping[str, float]) -> str:
    """All figures that were measured, in the order in which they are declared."""
    return _aligned([_HEAD, *(_row(f, values[f.name]) for case in cases for f in case.figures if f.name in values)])


def beside_baseline(taken: Sequence[Turns]) -> str:
    """What both builds have and the ratio of today's to the baseline's: medians, and of several turns the extremes."""
    rows = [_beside(figure, turns) for turns in taken if turns.baseline for figure in turns.case.figures]
    return _aligned([_BESIDE, *rows])


def _beside(figure: Figure, turns: Turns) -> Row:
    ratios = turns.ratios(figure.name)
    both = (_spread(values, figure.unit) for values in (turns.of_baseline(figure.name), turns.of_today(figure.name)))
    most = figure.of_baseline
    if most is None or not ratios:
        return figure.name, *both, _spread(ratios), "", ""
    met = "yes" if statistics.median(ratios) <= most else "NO"
    return figure.name, *both, _spread(ratios), f"≤ {_number(most)}", met


def _spread(values: Sequence[float], unit: str = "") -> str:
    """The median, and in brackets the least and the most of several."""
    if not values:
        return ""
    median = f"{_number(statistics.median(values))} {unit}".rstrip()
    return f"{median} ({_number(min(values))} – {_number(max(values))})" if len(values) > 1 else median


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Row, widths: Sequence[int]) -> str:
    name, *rest = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([name, *rest]).rstrip()


def verdicts(cases: Sequence[Case], values: Mapping[str, float]) -> str:
    """A line in words for each target of these cases: met, NOT MET or not measured. The words never decide a status."""
    targets = [figure for case in cases for figure in case.figures if figure.target is not None]
    lines = [_verdict(figure, values.get(figure.name)) for figure in targets]
    return "\n".join(["targets (on this machine, in this run):", *lines]) if lines else "none of these has a target"


def _verdict(figure: Figure, value: float | None) -> str:
    assert figure.target is not None
    wanted = f"{'at most' if figure.at_most is not None else 'at least'} {_quantity(figure, figure.target)}"
    if value is None:
        return f"  not measured  {figure.name} ({figure.meaning}): {wanted} is wanted"
    word = "met" if figure.met_by(value) else "NOT MET"
    return f"  {word:12}  {figure.name} ({figure.meaning}): {_quantity(figure, value)}, {wanted} is wanted"


def _quantity(figure: Figure, value: float) -> str:
    return f"{_number(value)} {figure.unit}".rstrip()


def write_json(file: Path, values: Mapping[str, float]) -> None:
    """Write one flat object."""
    write_text(file, json.dumps(dict(values), indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """An existing file is filled, not replaced, so that it keeps its owner when root writes."""
    if not file.exists():
        file.write_text(text)
        return
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_TRUNC), "w") as stream:  # no O_CREAT: see fs.protected_regular
        stream.write(text)
