"""What is to be routed, and how large it is."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from cortexd.catalog import Model
from cortexd.config import ProviderSettings
from cortexd.domain.messages import Message, Options, Privacy, Tool
from cortexd.domain.tasks import TaskType
from cortexd.domain.value import value
from cortexd.privacy import UNGUARDED, Guard
from cortexd.routing.raw import RawBody
from cortexd.validation import base64_length, images_of, prompt_bytes

_TOKENS_PER_MESSAGE = 32  # role markers and the like, generously
_TOKENS_PER_CALL = 64  # its markers, longer names and ids, and a result where the caller gives none
_BYTES_PER_TOKEN_USUALLY = 4
_MOST_CONTEXT = 200_000  # tokens, of a model of which nothing is known
_TOKENS_FOR_TOOLS = 2048  # vendors explain tool use to the model in a system prompt of their own


@value
class Question:
    """What is to be routed, as the caller put it; `guard`: what was found in it that should not go everywhere; `raw`:
    the vendor's own words of which the rest was read, as far as there are any for it."""

    task_type: TaskType
    messages: tuple[Message, ...]
    options: Options
    moment: datetime
    guard: Guard = UNGUARDED
    raw: RawBody | None = None
    _size: list[PromptSize] = field(default_factory=list, init=False, compare=False, repr=False)  # once it is known

    @property
    def local_only(self) -> bool:
        """Whether the caller, or what was found in it, keeps it to local models."""
        return self.options.privacy is Privacy.LOCAL or bool(self.guard.pinned)

    @property
    def offers_tools(self) -> bool:
        """Also such as only a vendor's own words have."""
        return bool(self.options.tools) or (self.raw is not None and self.raw.tools)

    @property
    def for_an_hour(self) -> bool:
        """Whether a vendor's cache is to keep some of it so long, at that price."""
        return self.raw is not None and self.raw.extras.for_an_hour

    def untold(self, settings: ProviderSettings) -> str:
        """Why a body of a vendor's own cannot go to this provider, neither as it is nor translated; "" where it can."""
        raw = self.raw
        if raw is None or not raw.native:
            return ""
        if settings.api != raw.form.name:
            return f'has no api = "{raw.form.name}" ({raw.native})'
        disguised = self.guard.disguise is not None and not (settings.local or self.local_only)
        return f"is not local, and the secrets in such a body cannot be replaced ({raw.native})" if disguised else ""

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
        if self.offers_tools or self.options.response_schema:
            framing += _TOKENS_FOR_TOOLS
        images = images_of(self.messages)
        if self.raw is None:
            return PromptSize(size, framing, len(images))
        beside = len(self.raw.body) - sum(base64_length(image.data) for image in images) - size
        return PromptSize(size, framing, len(images), max(0, beside), self.raw.unbounded)


def _text_bytes(messages: tuple[Message, ...], tools: tuple[Tool, ...], schema: str | None) -> int:
    return prompt_bytes(messages, tools) + len((schema or "").encode())


@value
class PromptSize:
    """`text_bytes` of texts and tools, `framing_tokens` that vendors add around them, and the number of images.
    `beside_bytes`: of a vendor's own words, what else may be text; `unbounded`: there may be more than its bytes say.
    """

    text_bytes: int
    framing_tokens: int
    images: int
    beside_bytes: int = 0
    unbounded: bool = False

    def most_tokens(self, model: Model) -> int:
        """No tokenizer makes more tokens than bytes; an image counts the catalogue's figure."""
        most = self.text_bytes + self.beside_bytes + self.framing_tokens + self.images * model.image_tokens
        return max(most, model.context_tokens or _MOST_CONTEXT) if self.unbounded else most

    def usual_tokens(self, model: Model) -> int:
        """At four bytes to a token, whatever was observed of others' prompts."""
        return self.text_bytes // _BYTES_PER_TOKEN_USUALLY + self.images * model.image_tokens
