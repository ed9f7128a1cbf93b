"""What this user wishes of routing, as GetPreferences tells it and SetPreferences takes it: all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cortex_llm_applet.texts import N_

Wishes = Mapping[str, Any]
EXCLUDED = "excluded"
_ORDERS = "providers"
_APART = ", "
MACHINES = ""  # not set: the operator's holds


@dataclass(frozen=True, slots=True)
class Choice:
    """A wish that is one of some words. `values`: word -> text for a person."""

    key: str
    title: str
    about: str
    values: Mapping[str, str]

    def words(self, wishes: Wishes) -> tuple[str, ...]:
        """All that may be chosen, the machine's first; with a newer service's word where that is set."""
        now = chosen(wishes, self.key)
        return (MACHINES, *self.values, *([now] if now and now not in self.values else []))

    def text(self, word: str) -> str:
        return self.values.get(word, word) if word else N_("Default")


CHOICES = (
    Choice(
        "strategy",
        N_("Strategy"),
        N_("How a model is chosen"),
        {
            "table": N_("The operator's order"),
            "cost": N_("The cheapest"),
            "latency": N_("The quickest"),
            "quality": N_("The best for the task"),
            "balanced": N_("A balance of these"),
            "learned": N_("Learned from outcomes"),
        },
    ),
    Choice(
        "secrets",
        N_("Secrets"),
        N_("Keys and passwords in what you ask"),
        {
            "off": N_("Do not look for them"),
            "warn": N_("Count them"),
            "redact": N_("Leave them out"),
            "local": N_("Only local models then"),
        },
    ),
    Choice(
        "on_break",
        N_("A broken answer"),
        N_("When a model fails within it"),
        {
            "restart": N_("Another one answers anew"),
            "continue": N_("Another one goes on from there"),
            "fail": N_("It ends there"),
        },
    ),
    Choice(
        "learned",
        N_("Learning from outcomes"),
        N_("Whether they decide who is asked"),
        {"off": N_("Off"), "observe": N_("Only noted"), "apply": N_("They decide")},
    ),
)


def chosen(wishes: Wishes, key: str) -> str:
    value = wishes.get(key, MACHINES)
    return value if isinstance(value, str) else MACHINES


def local_only(wishes: Wishes) -> bool:
    return wishes.get("local_only") is True


def order(wishes: Wishes, task: str) -> tuple[str, ...]:
    """Providers or provider/model, the first choice first; none where the machine's order holds."""
    orders = wishes.get(_ORDERS)
    text = orders.get(task, "") if isinstance(orders, Mapping) else ""
    return tuple(name.strip() for name in str(text).split(",") if name.strip())


def excluded(wishes: Wishes) -> tuple[str, ...]:
    names = wishes.get(EXCLUDED, ())
    return tuple(str(name) for name in names) if isinstance(names, Sequence) and not isinstance(names, str) else ()


def with_choice(wishes: Wishes, key: str, word: str) -> Wishes:
    return _with(wishes, key, word)


def with_local_only(wishes: Wishes, wanted: bool) -> Wishes:
    return _with(wishes, "local_only", wanted)


def with_order(wishes: Wishes, task: str, names: Sequence[str]) -> Wishes:
    now = wishes.get(_ORDERS)
    orders = {**now, task: _APART.join(names)} if isinstance(now, Mapping) else {task: _APART.join(names)}
    return _with(wishes, _ORDERS, {key: text for key, text in orders.items() if text})


def with_excluded(wishes: Wishes, names: Sequence[str]) -> Wishes:
    return _with(wishes, EXCLUDED, list(names))


def moved(names: Sequence[str], index: int, by: int) -> tuple[str, ...]:
    """One of them `by` places further on, as far as there are places."""
    there = min(max(0, index + by), len(names) - 1)
    rest = [*names[:index], *names[index + 1 :]]
    return (*rest[:there], names[index], *rest[there:])


def targets(providers: Sequence[Mapping[str, Any]], taken: Sequence[str]) -> tuple[str, ...]:
    """What may be added to `taken`: each configured provider, and each of its models, of ListProviders' rows."""
    usable = [row for row in providers if row.get("configured") is True]
    names = [name for row in usable for name in (row["name"], *(f"{row['name']}/{model}" for model in row["models"]))]
    return tuple(name for name in names if name not in taken)


def _with(wishes: Wishes, key: str, value: object) -> Wishes:
    """What is empty, or no, is not set."""
    kept = {name: item for name, item in wishes.items() if name != key}
    return {**kept, key: value} if value else kept
