"""What is to be routed, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cortexd.catalog import Model
from cortexd.domain.messages import Message, Options, Privacy, Tool
from cortexd.domain.tasks import TaskType
from cortexd.privacy import UNGUARDED, Guard
from cortexd.validation import images_of, prompt_bytes

_TOKENS_PER_MESSAGE = 32  # role markers and the like, generously
_TOKENS_PER_CALL = 64  # its markers, longer names and ids, and a result where the caller gives none
_BYTES_PER_TOKEN_USUALLY = 4
_TOKENS_FOR_TOOLS = 2048  # vendors explain tool use to the model in a system prompt of their own


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be routed, as the caller put it; `guard`: what was found in it that should not go everywhere."""

    task_type: TaskType
    messages: tuple[Message, ...]
    options: Options
    moment: datetime
    guard: Guard = UNGUARDED
    _size: list[PromptSize] = field(default_factory=list, init=False, compare=False, repr=False)  # once it is known

    @property
    def local_only(self) -> bool:
        """Whether the caller, or what was found in it, keeps it to local models."""
        return self.options.privacy is Privacy.LOCAL or bool(self.guard.pinned)

    def size(self) -> PromptSize:
        if not self._size:
            self._size.append(self._measured())
        return self._size[0]

    def _measured(self) -> PromptSize:
        """Of the larger form, where models elsewhere get another one."""
        size = _text_bytes(self.messages, self.options.tools, self.options.response_schema)
        if (disguise := self.guard.disguise) is not None:
            size = max(size, _text_bytes(disguise.messages, disguise.tools, disguise.response_schema))
        calls = sum(len(message.tool_calls) for message in self.messages)
        framing = len(self.messages) * _TOKENS_PER_MESSAGE + calls * _TOKENS_PER_CALL
        if self.options.tools or self.options.response_schema:
            framing += _TOKENS_FOR_TOOLS
        return PromptSize(size, framing, len(images_of(self.messages)))


def _text_bytes(messages: tuple[Message, ...], tools: tuple[Tool, ...], schema: str | None) -> int:
    return prompt_bytes(messages, tools) + len((schema or "").encode())


@dataclass(frozen=True, slots=True)
class PromptSize:
    """`text_bytes` of texts and tools, `framing_tokens` that vendors add around them, and the number of images."""

    text_bytes: int
    framing_tokens: int
    images: int

    def most_tokens(self, model: Model) -> int:
        """No tokenizer makes more tokens than bytes; an image counts the catalogue's figure."""
        return self.text_bytes + self.framing_tokens + self.images * model.image_tokens

    def usual_tokens(self, model: Model) -> int:
        """At four bytes to a token, whatever was observed of others' prompts."""
        return self.text_bytes // _BYTES_PER_TOKEN_USUALLY + self.images * model.image_tokens
