"""Questions and plans for the tests of routing: on the built-in configuration and catalogue, nothing else."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from cortexd.catalog import Catalog, builtin_catalog
from cortexd.config import Config, builtin_config, with_keys
from cortexd.config.settings import ProviderSettings
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.routing import Health, Observed, Plan, Question, Wishes, plan_route
from cortexd.routing.wishes import NONE
from cortexd.validation import parse_messages, parse_options

BOTH = {"ANTHROPIC_API_KEY": "a", "MOONSHOT_API_KEY": "m"}
ALL = {**BOTH, "DEEPSEEK_API_KEY": "d", "DASHSCOPE_API_KEY": "q"}
OFFICE = ProviderSettings("office", "openai", "http://127.0.0.1:1/v1", "m", local=True)
IMAGE = [{"type": "image", "media_type": "image/png", "data": b"\x89PNG\r\n\x1a\n"}]

OWN = {name: settings.model for name, settings in builtin_config().providers.items()}


def prefers(*names: str) -> dict[TaskType, tuple[Target, ...]]:
    """A user's targets for chat."""
    return {TaskType.USER_CHAT: tuple(map(Target.parse, names))}


def config(environ: dict[str, str] = BOTH, **more: ProviderSettings) -> Config:
    base = with_keys(builtin_config(), environ)
    return dataclasses.replace(base, providers={**base.providers, **more})


def question(task: TaskType = TaskType.USER_CHAT, content: Any = "hi", **options: Any) -> Question:
    return Question(
        task,
        parse_messages([{"role": "user", "content": content}]),
        parse_options(options),
        datetime(2026, 11, 23, tzinfo=UTC),
    )


def catalog_of(chosen: Config) -> Catalog:
    return builtin_catalog().with_settings(chosen.providers)


def plan(task: TaskType = TaskType.USER_CHAT, content: Any = "hi", *, use: Config | None = None,
         health: Health | None = None, observed: Observed | None = None, wishes: Wishes = NONE,
         dry_run: bool = False, **options: Any) -> Plan:  # fmt: skip
    chosen = use or config()
    asked = question(task, content, **options)
    return plan_route(
        asked, chosen, catalog_of(chosen), health or Health(), wishes=wishes, observed=observed, dry_run=dry_run
    )


def names(made: Plan) -> list[str]:
    return [candidate.provider for candidate in made.candidates]
