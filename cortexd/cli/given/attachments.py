"""Files as part of a prompt: text by its name, images as the parts that models take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cortexd.errors import TooLarge

_MAX_BYTES = 16 * 1024 * 1024  # more than the service takes; it says what it takes itself
# media type -> what such a file begins with, and the offset; the name's ending may say anything
_IMAGES = (
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/gif", 0, b"GIF8"),
    ("image/webp", 8, b"WEBP"),
)


def user_content(text: str, files: Sequence[Path]) -> str | list[dict[str, Any]]:
    """The prompt and its files as a message's content: plain text where there is no image.

    Raises click.UsageError for a file that is neither text nor such an image, TooLarge, OSError.
    """
    images, texts = [], []
    for file in files:
        data = _read(file)
        media_type = _image_type(data)
        if media_type:
            images.append({"type": "image", "media_type": media_type, "data": data})
        else:
            texts.append(_named(file, data))
    whole = "\n\n".join(part for part in (text, *texts) if part)
    if not images:
        return whole
    return [*images, {"type": "text", "text": whole}] if whole else images


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise TooLarge(f"{file}: more than {_MAX_BYTES // 2**20} MiB")
    return data


def _image_type(data: bytes) -> str | None:
    return next((kind for kind, offset, magic in _IMAGES if data[offset : offset + len(magic)] == magic), None)


def _named(file: Path, data: bytes) -> str:
    """The file's text between lines that carry its name."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise click.UsageError(
            f"{file} is neither UTF-8 text nor a PNG, JPEG, GIF or WebP image.", click.get_current_context(silent=True)
        )
    name = file.name.replace('"', "'").replace("\n", " ")
    return f'<file name="{name}">\n{text}{"" if text.endswith(chr(10)) else chr(10)}</file>'
