"""Configuration: TOML files over built-in defaults, and keys from outside the text."""

from cortexd.config.credentials import (
    UNIT_CREDENTIALS,
    how_to_configure,
    ledger_with_password,
    what_is_missing,
    with_keys,
)
from cortexd.config.defaults import builtin_config
from cortexd.config.load import DEFAULT_PATH, load_config
from cortexd.config.settings import Config, NetworkSettings, ProviderSettings, Secret

__all__ = [
    "DEFAULT_PATH",
    "UNIT_CREDENTIALS",
    "Config",
    "NetworkSettings",
    "ProviderSettings",
    "Secret",
    "builtin_config",
    "how_to_configure",
    "ledger_with_password",
    "load_config",
    "what_is_missing",
    "with_keys",
]
