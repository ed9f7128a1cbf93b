"""What a check of the configuration warns of: settings that can be right, and are more likely slips of the pen. A model
may be new, a directory with its users may be away; so nothing is refused for them."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from cortexd.catalog.lookup import Catalog, builtin_catalog
from cortexd.config.settings import ANY_MODEL, Config, ProviderSettings
from cortexd.domain.close_words import close_words
from cortexd.domain.targets import Target
from cortexd.errors import Problem

_UNHEEDED = ("max_queued", "queue_delay_s")  # where calls are not counted
Doubts = Iterator[tuple[str, str]]


def doubts_of(config: Config) -> tuple[Problem, ...]:
    """Each doubtful setting, and what may be wrong with it. Asks the user database, which may take a while."""
    found = [*_without_effect(config), *_models(config), *_people(config)]
    return tuple(Problem("", setting, words) for setting, words in found)


def _without_effect(config: Config) -> Doubts:
    for name, settings in config.providers.items():
        plain = ProviderSettings("", "", "", "")
        for key in () if settings.pooled else _UNHEEDED:
            if getattr(settings, key) != getattr(plain, key):
                yield (
                    f"providers.{name}.{key}",
                    f"has no effect without max_in_flight or replicas. Set providers.{name}.max_in_flight as well.",
                )


def _models(config: Config) -> Doubts:
    catalog = builtin_catalog().with_settings(config.providers)
    for setting, targets in _rows(config):
        for target in targets:
            settings = config.providers.get(target.provider)
            if settings is None or target.model is None or settings.model == ANY_MODEL:
                continue
            known = _known(settings, catalog)
            if target.model not in known:
                words = f"neither the catalogue nor the configuration knows {target.model!r} of {target.provider}."
                yield setting, f"{words}{_nearest(target.model, known)}"


def _rows(config: Config) -> Iterator[tuple[str, Iterable[Target]]]:
    """Every setting that names models."""
    for task, row in config.routing.table.items():
        yield f"routing.table.{task}", row
    allowed = config.routing.allowed
    yield "routing.allowed.everybody", allowed.everybody or ()
    for kind in ("groups", "users", "task_types"):
        for name, row in getattr(allowed, kind).items():
            yield f"routing.allowed.{kind}.{name}", row


def _known(settings: ProviderSettings, catalog: Catalog) -> list[str]:
    return [settings.model, *settings.models, *(model.id for model in catalog.models_of(settings.name))]


def _people(config: Config) -> Doubts:
    allowed = config.routing.allowed
    for section, users, groups in (
        ("routing.allowed", allowed.users, allowed.groups),
        ("budgets", config.budgets.users, config.budgets.groups),
    ):
        yield from _missing(f"{section}.users", "user", users, pwd.getpwnam, pwd.getpwall)
        yield from _missing(f"{section}.groups", "group", groups, grp.getgrnam, grp.getgrall)


def _missing(
    setting: str,
    kind: str,
    names: Iterable[str],
    look_up: Callable[[str], object],
    everybody: Callable[[], Iterable[Sequence[Any]]],
) -> Doubts:
    """Who has no entry by that name; a number stands for a uid, which needs none."""
    for name in names:
        if name.isdecimal():
            continue
        try:
            look_up(name)
        except KeyError:
            yield (
                f"{setting}.{name}",
                f"this machine has no {kind} {name!r}.{_nearest(name, [row[0] for row in everybody()])}",
            )


def _nearest(name: str, known: Collection[str]) -> str:
    near = close_words(name, known)
    return f" Did you mean {near[0]!r}?" if near else ""
