"""Where a user's bridge is found: its socket, its units, and the key of its port."""

from __future__ import annotations

import os
from pathlib import Path

SERVICE = "cortex-llm-bridge.service"
SOCKET = "cortex-llm-bridge.socket"
PORT = "cortex-llm-bridge-port.socket"
PROGRAM = "cortex-llm-bridge"
KEY, KEY_FILE = "CORTEX_LLM_TOKEN", "CORTEX_LLM_TOKEN_FILE"  # in the environment: the key itself, or where it is
LOOPBACK = "127.0.0.1"
_OF_ALL = Path("/etc/cortexd/bridge.toml")


def socket_path() -> Path | None:
    """As the unit has it, %t/cortex-llm/api.sock; None for a user without a runtime directory."""
    runtime = runtime_path()
    return None if runtime is None else runtime / "cortex-llm" / "api.sock"


def runtime_path() -> Path | None:
    """Also for a user who came by su or sudo, to whom nobody said it."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    path = Path(given) if given.startswith("/") else Path("/run/user", str(os.getuid()))
    return path if path.is_dir() and path.stat().st_uid == os.getuid() else None


def key_path() -> Path:
    return _base("XDG_STATE_HOME", ".local/state") / "cortex-llm" / "bridge-key"


def settings_paths() -> tuple[Path, ...]:
    """What is wished of the bridge: by the computer's administrator, and above that by its user."""
    return _OF_ALL, _base("XDG_CONFIG_HOME", ".config") / "cortex-llm" / "bridge.toml"


def units_path() -> Path:
    """Where a user's own units stand."""
    return _base("XDG_CONFIG_HOME", ".config") / "systemd" / "user"


def _base(variable: str, usual: str) -> Path:
    """As the XDG base directory specification has it: what is no whole path counts as not set."""
    given = os.environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path.home() / usual
