"""The address that programs are given: the bridge's port, and the file with its key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """`url`: http://127.0.0.1:PORT; `token_file` holds `token`, for this user alone."""

    url: str
    token: str
    token_file: Path

    @property
    def v1(self) -> str:
        """As OpenAI's clients want it."""
        return f"{self.url}/v1"
