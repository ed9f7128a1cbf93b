"""What is to be routed, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cortexd.catalog import Model
from cortexd.domain.messages import Message, Options
from cortexd.domain.tasks import TaskType
from cortexd.validation import images_of, prompt_bytes

_TOKENS_PER_MESSAGE = 32  # role markers and the like, generously
_TOKENS_PER_CALL = 64  # its markers, longer names and ids, and a result where the caller gives none
_TOKENS_FOR_TOOLS = 2048  # vendors explain tool use to the model in a system prompt of their own
_BYTES_PER_TOKEN_USUALLY = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be routed, as the caller put it."""

    task_type: TaskType
    messages: tuple[Message, ...]
    options: Options
    moment: datetime

    def size(self) -> PromptSize:
        schema = len((self.options.response_schema or "").encode())
        calls = sum(len(message.tool_calls) for message in self.messages)
        framing = len(self.messages) * _TOKENS_PER_MESSAGE + calls * _TOKENS_PER_CALL
        if self.options.tools or schema:
            framing += _TOKENS_FOR_TOOLS
        return PromptSize(
            prompt_bytes(self.messages, self.options.tools) + schema, framing, len(images_of(self.messages))
        )


@dataclass(frozen=True, slots=True)
class PromptSize:
    """`text_bytes` of texts and tools, `framing_tokens` that vendors add around them, and the number of images."""

    text_bytes: int
    framing_tokens: int
    images: int

    def most_tokens(self, model: Model) -> int:
        """No tokenizer makes more tokens than bytes; an image counts the catalogue's figure."""
        return self.text_bytes + self.framing_tokens + self.images * model.image_tokens

    def likely_tokens(self, model: Model) -> int:
        return self.text_bytes // _BYTES_PER_TOKEN_USUALLY + self.images * model.image_tokens
