"""Files as part of a prompt: text by its name, images as the parts that models take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cortexd.cli.given.prompt import Prompt
from cortexd.domain.images import IMAGE_KINDS, image_type
from cortexd.errors import TooLarge

_MAX_BYTES = 16 * 1024 * 1024  # more than the service takes; it says what it takes itself
_STDIN = "standard input"


def user_content(prompt: Prompt, files: Sequence[Path] = ()) -> str | list[dict[str, Any]]:
    """The prompt and its files as a message's content: plain text where there is no image.

    Raises click.UsageError for a file that is neither text nor an image that models take, TooLarge, OSError.
    """
    images, texts = [], []
    attached = [(_STDIN, prompt.attached)] if prompt.attached else []
    for name, data in [*((str(file), _read(file)) for file in files), *attached]:
        media_type = image_type(data)
        if media_type:
            images.append({"type": "image", "media_type": media_type, "data": data})
        else:
            texts.append(_named(name, data))
    whole = "\n\n".join(part for part in (prompt.text, *texts) if part)
    if not images:
        return whole
    return [*images, {"type": "text", "text": whole}] if whole else images


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise TooLarge(f"{file}: more than {_MAX_BYTES // 2**20} MiB")
    return data


def _named(file: str, data: bytes) -> str:
    """The file's text between lines that carry its name."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise click.UsageError(
            f"{file} is neither UTF-8 text nor a {IMAGE_KINDS} image.", click.get_current_context(silent=True)
        )
    name = Path(file).name.replace('"', "'").replace("\n", " ")
    return f'<file name="{name}">\n{text}{"" if text.endswith(chr(10)) else chr(10)}</file>'
