"""The built-in defaults that are no plain values: the providers everybody can use, and the routing table."""

from __future__ import annotations

from cortexd.config.presets import BUILTIN, presets
from cortexd.config.settings import Config, RoutingSettings
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType

_CHAT_TASKS = frozenset({TaskType.USER_CHAT, TaskType.REQUIREMENT_PARSING})

PROVIDERS = tuple(presets()[name].settings(name) for name in BUILTIN)

ROUTING_TABLE = {task: (Target("claude" if task in _CHAT_TASKS else "kimi_k2"),) for task in TaskType}


def builtin_config() -> Config:
    """The configuration of a machine without a file and without keys."""
    return Config(
        providers={settings.name: settings for settings in PROVIDERS},
        routing=RoutingSettings(table=dict(ROUTING_TABLE)),
    )
