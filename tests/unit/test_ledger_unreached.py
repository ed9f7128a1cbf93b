"""A shared ledger's database that does not let cortexd in: an operator learns why."""

from __future__ import annotations

import socket

import pytest

from cortexd.config.settings import LedgerSettings, Secret
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import place_of


def test_says_what_the_driver_says() -> None:
    """Not only that it cannot be reached, and never with a password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"postgresql+psycopg://cortexd@127.0.0.1:{taken.getsockname()[1]}/cortexd"
        with pytest.raises(LedgerUnavailable) as refused:
            place_of(LedgerSettings(url=url, password=Secret("hunter2"))).reach()
    assert str(refused.value).endswith("the database cannot be reached: Connection refused")
    assert "hunter2" not in str(refused.value)
