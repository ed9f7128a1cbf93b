"""What kind of image some bytes are: by the bytes, since names and headers may say anything."""

from __future__ import annotations

IMAGE_KINDS = "PNG, JPEG, GIF or WebP"
# media type -> what its files hold at which offsets
_SIGNATURES: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("image/png", ((0, b"\x89PNG\r\n\x1a\n"),)),
    ("image/jpeg", ((0, b"\xff\xd8\xff"),)),
    ("image/gif", ((0, b"GIF87a"),)),
    ("image/gif", ((0, b"GIF89a"),)),
    ("image/webp", ((0, b"RIFF"), (8, b"WEBP"))),
)
SIGNATURE_BYTES = 12


def image_type(data: bytes) -> str | None:
    """The media type of an image that begins with `data`; None where models take no such image."""
    for media_type, marks in _SIGNATURES:
        if all(data.startswith(mark, offset) for offset, mark in marks):
            return media_type
    return None
