"""Which calls should meet at one endpoint, because it has the start of their prompt in its cache."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from cortexd.domain.messages import Message, Role

_LONG_BYTES = 1024  # what is shorter is read anew in no time


def affinity_of(uid: int, session: str | None, messages: Sequence[Message]) -> str:
    """An opaque value that the calls of one session share, or else those of one long beginning; "" for none.

    The beginning: the system's messages, where they are long by themselves, or with the first message of the user.
    """
    if session is not None:
        return _digest(f"{uid}\0{session}")
    beginning = ""
    for message in messages:
        if message.role is not Role.SYSTEM and len(beginning) >= _LONG_BYTES:
            break
        beginning += f"{message.role}\0{message.text()}\0"
        if message.role is not Role.SYSTEM:
            break
    return _digest(beginning) if len(beginning) >= _LONG_BYTES else ""


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
