"""The address that programs are given: the bridge's port, and the file with its key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cortexd.errors import CortexError

_HIDDEN = "(the key)"


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

    def hidden(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self.token, _HIDDEN)


def bridge_address() -> Address | None:
    """None where the port is off. Raises CortexError for a key that cannot be used."""
    from cortexd.bridge.places import key_path
    from cortexd.cli.bridge.port import address

    found = address()
    return None if found is None else Address(found.url, found.key, key_path())


def open_port() -> Address:
    """Turn the port on. Raises CortexError."""
    from cortexd.bridge.places import key_path
    from cortexd.cli.bridge.port import turn_on

    opened, _changed = turn_on()
    return Address(opened.url, opened.key, key_path())


def address_by_hand(port: int) -> Address:
    """Of a bridge that was started by hand with the user's key, which is made where there is none yet. Raises
    CortexError."""
    from cortexd.bridge.key import make_key
    from cortexd.bridge.places import LOOPBACK, key_path

    return Address(f"http://{LOOPBACK}:{port}", make_key(key_path()), key_path())


def without_key(text: str) -> str:
    """`text` as it may be shown to others; a key that is no longer the user's helps nobody."""
    from cortexd.bridge.key import read_key
    from cortexd.bridge.places import key_path

    try:
        return text.replace(read_key(key_path()), _HIDDEN)
    except CortexError:
        return text


def address_to_be() -> Address:
    """What stands in for it where nothing is to be changed."""
    from cortexd.bridge.places import key_path

    return Address("http://127.0.0.1:PORT", _HIDDEN, key_path())
