"""Every number that can be set has a least and a most; what lies beyond is refused by file, key, value and range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from cortexd.config import builtin_config, load_config
from cortexd.config import settings as settings_module
from cortexd.config.bounds import BOUNDS, Bound
from cortexd.config.outcomes import AutomaticSettings, SourceWeights
from cortexd.config.settings import (
    BudgetSettings,
    Config,
    LearnedSettings,
    LimitUsd,
    ModelSettings,
    ProviderSettings,
    RateSettings,
    ReplicaSettings,
    Weights,
)
from cortexd.errors import ConfigError

NUMERIC = {int, float}
HUGE = ("9223372036854775808", "1" + "0" * 400, "1e308", "inf", "nan")


ROUTING = {
    LearnedSettings: "learned",
    SourceWeights: "learned.sources",
    AutomaticSettings: "learned.automatic",
    Weights: "weights",
}


def structures() -> list[type]:
    """Every settings dataclass."""
    return [kind for kind in vars(settings_module).values() if isinstance(kind, type) and is_dataclass(kind)]


def is_number(name: str, kind: Any) -> bool:
    """Also an amount kept as text, and a list of numbers."""
    return kind in NUMERIC or bool(NUMERIC & set(get_args(kind))) or "_usd" in name


def numbers() -> list[tuple[type, str, Any]]:
    return [
        (owner, item.name, get_type_hints(owner)[item.name])
        for owner in structures()
        for item in fields(owner)
        if is_number(item.name, get_type_hints(owner)[item.name])
    ]


def as_toml(owner: type, key: str, value: str) -> str:
    """A file that sets just this number, and what goes with it."""
    if owner is ProviderSettings:
        return f"[providers.claude]\n{key} = {value}\n"
    if owner is ReplicaSettings:
        return f'[[providers.claude.replicas]]\nbase_url = "https://one.example"\n{key} = {value}\n'
    if owner is RateSettings:
        amounts = {"input_usd_per_million": "1", "output_usd_per_million": "1", key: value}
        return f"[providers.claude]\nrate = {{ {', '.join(f'{name} = {usd}' for name, usd in amounts.items())} }}\n"
    if owner is ModelSettings:
        return f"[providers.claude.models.m]\n{key} = {value}\n"
    if owner is LimitUsd:
        return f"[budgets.machine]\n{key} = {value}\n"
    if owner in ROUTING:
        return f"[routing.{ROUTING[owner]}]\n{key} = {value}\n"
    if owner is BudgetSettings:
        return f"[budgets]\n{key} = [{value}]\n" if key == "thresholds" else f"[budgets]\n{key} = {value}\n"
    [section] = [item.name for item in fields(Config) if isinstance(getattr(builtin_config(), item.name), owner)]
    text = f"[{section}]\n{key} = {value}\n"
    return text + ("default_deadline_ms = 100\n" if key == "max_deadline_ms" else "")


def read(directory: Path, text: str) -> Config:
    path = directory / "config.toml"
    path.write_text(text)
    return load_config(path)


def plain(value: float, kind: Any) -> str:
    return str(int(value)) if value == int(value) else str(value)


def beyond(bound: Bound, kind: Any) -> Iterator[str]:
    whole = kind is int or int in get_args(kind)
    yield from ("-1", *(() if whole else ("-0.001", "-inf")), *HUGE)
    yield plain(bound.most + 1, kind)
    if bound.least > 0:
        yield from ("0", "-0.0")


class TestEveryNumber:
    def test_has_a_bound(self) -> None:
        """A number that is added to the settings needs its row in the table, and a row needs its number."""
        assert {(owner, key) for owner, key, _ in numbers()} == {
            (owner, key) for owner, rows in BOUNDS.items() for key in rows
        }
        assert len(numbers()) > 25

    def test_default_is_within(self) -> None:
        """What holds without a file would be accepted in one."""
        for owner, key, _ in numbers():
            default = next(item.default for item in fields(owner) if item.name == key)
            for value in default if isinstance(default, tuple) else (default,):
                if isinstance(value, int | float):
                    assert BOUNDS[owner][key].holds(value), key

    @pytest.mark.parametrize(("owner", "key", "kind"), numbers(), ids=lambda value: getattr(value, "__name__", value))
    def test_what_lies_beyond_is_refused(self, tmp_path: Path, owner: type, key: str, kind: Any) -> None:
        """Negative, zero, NaN, infinite, absurd: the refusal names file, setting, value and range."""
        bound = BOUNDS[owner][key]
        for value in beyond(bound, kind):
            with pytest.raises(ConfigError) as caught:
                read(tmp_path, as_toml(owner, key, value))
            [problem] = caught.value.problems
            assert problem.file == str(tmp_path / "config.toml")
            assert problem.key.split(".")[-1] in (key, "rate")
            assert str(bound) in problem.reason, value
            assert "got " in problem.reason

    @pytest.mark.parametrize(("owner", "key", "kind"), numbers(), ids=lambda value: getattr(value, "__name__", value))
    def test_both_ends_are_accepted(self, tmp_path: Path, owner: type, key: str, kind: Any) -> None:
        """The range that a refusal names is the range."""
        for end in (BOUNDS[owner][key].least, BOUNDS[owner][key].most):
            read(
                tmp_path,
                as_toml(owner, key, plain(end, kind))
                + ("max_deadline_ms = 86_400_000\n" if key == "default_deadline_ms" else ""),
            )

    @pytest.mark.parametrize(("owner", "key", "kind"), numbers(), ids=lambda value: getattr(value, "__name__", value))
    def test_what_is_no_number_is_refused(self, tmp_path: Path, owner: type, key: str, kind: Any) -> None:
        """Text, truth and dates do not pass for numbers, but true and false for all of a part and nothing of it."""
        truth = () if owner is AutomaticSettings else ("true",)
        for value in ("'many'", *truth, "1979-05-27", "{}"):
            with pytest.raises(ConfigError) as caught:
                read(tmp_path, as_toml(owner, key, value))
            assert key in caught.value.problems[0].key
