"""The formats by their names."""

from __future__ import annotations

from cortexd.errors import InvalidArgument
from cortexd.formats.chat import ChatFormat
from cortexd.formats.form import Format
from cortexd.formats.messages import MessagesFormat
from cortexd.formats.responses import ResponsesFormat

FORMATS: dict[str, Format] = {form.name: form for form in (MessagesFormat(), ChatFormat(), ResponsesFormat())}


def format_named(name: str) -> Format:
    """Raises InvalidArgument."""
    try:
        return FORMATS[name]
    except KeyError:
        raise InvalidArgument(f"format: expected one of {', '.join(FORMATS)}, got {name!r:.40}") from None
