"""The built-in defaults that are no plain values: the providers everybody can use, and the routing table."""

from __future__ import annotations

from cortexd.config.settings import Config, ProviderSettings, RoutingSettings
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType

_USUAL_PER_S = 1000  # of models on GPUs: none of these vendors is near it
_CHAT_TASKS = frozenset({TaskType.USER_CHAT, TaskType.REQUIREMENT_PARSING})

PROVIDERS = (
    ProviderSettings(
        name="claude",
        api="anthropic",
        base_url="https://api.anthropic.com",
        model="claude-sonnet-5-5",
        key_variable="ANTHROPIC_API_KEY",
        max_tokens_per_s=_USUAL_PER_S,
    ),
    ProviderSettings(
        name="kimi_k2",
        api="openai",
        base_url="https://api.moonshot.ai/v1",
        model="kimi-k2.6",
        key_variable="MOONSHOT_API_KEY",
        max_tokens_per_s=_USUAL_PER_S,
    ),
    ProviderSettings(
        name="deepseek",
        api="openai",
        base_url="https://api.deepseek.com",
        model="deepseek-flash",
        key_variable="DEEPSEEK_API_KEY",
        max_tokens_per_s=_USUAL_PER_S,
    ),
    ProviderSettings(
        name="qwen",
        api="openai",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        model="qwen3.8-max",
        key_variable="DASHSCOPE_API_KEY",
        max_tokens_per_s=_USUAL_PER_S,
    ),
    ProviderSettings(
        name="llama",
        api="openai",
        base_url="https://api.groq.com/openai/v1",
        model="meta-llama/llama-4-maverick-17b-128e-instruct",
        key_variable="GROQ_API_KEY",
    ),
)

ROUTING_TABLE = {task: (Target("claude" if task in _CHAT_TASKS else "kimi_k2"),) for task in TaskType}


def builtin_config() -> Config:
    """The configuration of a machine without a file and without keys."""
    return Config(
        providers={settings.name: settings for settings in PROVIDERS},
        routing=RoutingSettings(table=dict(ROUTING_TABLE)),
    )
