"""The words of the Python library: who can answer, who was chosen and why, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from cortexd.domain.tasks import TaskType


class LLMProvider(StrEnum):
    """Every provider that the catalogue knows, OpenAI, and Ollama for whatever runs on this machine."""

    CLAUDE = "claude"
    KIMI_K2 = "kimi_k2"
    DEEPSEEK = "deepseek"
    QWEN = "qwen"
    LLAMA = "llama"
    OPENAI = "openai"
    OLLAMA = "ollama"


LABELS = {
    LLMProvider.CLAUDE: "Claude",
    LLMProvider.KIMI_K2: "Kimi K2",
    LLMProvider.DEEPSEEK: "DeepSeek",
    LLMProvider.QWEN: "Qwen",
    LLMProvider.LLAMA: "Llama",
    LLMProvider.OPENAI: "OpenAI",
    LLMProvider.OLLAMA: "Ollama",
}


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Who would be asked first. `confidence` is 1.0 for a forced provider, 0.95 for the rule's own choice, 0.5 for
    anybody who stands in for it."""

    FORCED: ClassVar = 1.0
    FORCED_REASON: ClassVar = "Forced by the caller"
    BY_RULE: ClassVar = 0.95
    STANDING_IN: ClassVar = 0.5

    provider: LLMProvider
    task_type: TaskType
    reasoning: str
    confidence: float


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """One answer.

    `tokens_used`: prompt and answer together, 0 where the provider reported none. `cost_usd`: USD, and NaN where the
    price or the usage is unknown: unknown is not 0. `latency_seconds`: of the attempt that answered.
    `raw_response`: a dictionary, all that the SDK's object says, over the bus the daemon's metadata; None for a stream.
    `tool_calls`: in OpenAI's form whoever answered, `{"id", "type": "function", "function": {"name", "arguments"}}`
    with the arguments as JSON text, ready to go back on an assistant's message. `finish_reason`: stop, length,
    tool_calls, content_filter, or the provider's own word. `dropped_options`: options that this model does not take
    and that were left out. `reasoning_content`: what the model thought, where its provider says it; some models that
    call tools want it back.
    """

    content: str
    provider: LLMProvider
    model: str
    tokens_used: int
    cost_usd: float
    latency_seconds: float
    raw_response: Any = field(default=None, repr=False, compare=False)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str = "stop"
    dropped_options: tuple[str, ...] = ()
    reasoning_content: str = ""
