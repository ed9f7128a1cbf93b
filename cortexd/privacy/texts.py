"""What of a request a model reads, as one row of texts: taken out, and put back otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cortexd.domain.messages import Message, Part, TextPart, Tool


@dataclass(frozen=True, slots=True)
class Content:
    """All that leaves for a provider and may hold a secret. Names and ids are none, and images are not read."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    response_schema: str | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """`json`: those that are JSON, where a secret may stand escaped."""

    plain: Sequence[str]
    json: Sequence[str]

    @property
    def size(self) -> int:
        return sum(map(len, self.plain)) + sum(map(len, self.json))


def texts_of(content: Content) -> Texts:
    plain: list[str] = []
    in_json: list[str] = []
    rewritten(content, _kept_in(plain), _kept_in(in_json))
    return Texts(plain, in_json)


def _kept_in(row: list[str]) -> Callable[[str], str]:
    def keep(text: str) -> str:
        row.append(text)
        return text

    return keep


def with_texts(content: Content, texts: Texts) -> Content:
    """The same content with other texts, in the order of `texts_of`."""
    plain, in_json = iter(texts.plain), iter(texts.json)
    return rewritten(content, lambda _text: next(plain), lambda _text: next(in_json))


def rewritten(content: Content, plain: Callable[[str], str], in_json: Callable[[str], str]) -> Content:
    """The content with each of its texts as these make it, in one order always."""
    return Content(
        tuple(_message(message, plain, in_json) for message in content.messages),
        tuple(
            replace(tool, description=plain(tool.description), parameters=in_json(tool.parameters))
            for tool in content.tools
        ),
        None if content.response_schema is None else in_json(content.response_schema),
    )


def _message(message: Message, plain: Callable[[str], str], in_json: Callable[[str], str]) -> Message:
    return replace(
        message,
        content=_said(message.content, plain),
        reasoning=None if message.reasoning is None else plain(message.reasoning),
        tool_calls=tuple(replace(call, arguments=in_json(call.arguments)) for call in message.tool_calls),
    )


def _said(content: str | tuple[Part, ...], plain: Callable[[str], str]) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return plain(content)
    return tuple(_parts(content, plain))


def _parts(parts: tuple[Part, ...], plain: Callable[[str], str]) -> Iterator[Part]:
    for part in parts:
        yield TextPart(plain(part.text)) if isinstance(part, TextPart) else part
