"""The bridge that the tests connect programs with: nobody listens there."""

from __future__ import annotations

from pathlib import Path

from cortexd.cli.connecting.bridge import Address

ADDRESS = Address("http://127.0.0.1:4141", "key-of-the-port", Path("/home/alice/.local/state/cortex-llm/port.key"))
