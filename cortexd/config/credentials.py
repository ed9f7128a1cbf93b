"""Provider keys: from systemd credentials, key files or environment variables, in that order; never from the TOML.

systemd hands a credentials directory `keys:/etc/cortexd/credentials` over as files `keys_NAME`; a single
`LoadCredential=NAME:…` as `NAME`. A reload reads the files again, but systemd fixes credentials at start.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cortexd.config.settings import Config, ProviderSettings, Secret
from cortexd.errors import ConfigError

MAX_KEY_BYTES = 16 * 1024


def with_keys(config: Config, environ: Mapping[str, str] = os.environ) -> Config:
    """`config` with each provider's key filled in where one is found. Raises ConfigError for an unusable file."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    providers = {
        name: dataclasses.replace(settings, key=_find_key(settings, directory, environ))
        for name, settings in config.providers.items()
    }
    return dataclasses.replace(config, providers=providers)


def what_is_missing(settings: ProviderSettings) -> str:
    """Why this provider is not configured, in two words."""
    return "no key" if settings.enabled else "switched off"


def how_to_configure(settings: ProviderSettings) -> str:
    """What an administrator has to set so that this provider can answer."""
    name = settings.name
    if not settings.enabled:
        return f"switched off by providers.{name}.enabled"
    variable = f" or {settings.key_variable}" if settings.key_variable else ""
    return f"no key: run cortexctl credentials set {name}, or set providers.{name}.key_file{variable}"


def _find_key(settings: ProviderSettings, directory: str | None, environ: Mapping[str, str]) -> Secret | None:
    if directory:
        for name in (f"keys_{settings.name}", settings.name):
            file = Path(directory) / name
            if file.is_file():
                return _read_key(file)
    if settings.key_file is not None:
        _refuse_open_file(settings.key_file)
        return _read_key(settings.key_file)
    value = environ.get(settings.key_variable, "").strip() if settings.key_variable else ""
    return _secret(value, f"environment variable {settings.key_variable}") if value else None


def _refuse_open_file(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{file}: the key file cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"{file}: the key file is open to other users; make it 0600 (chmod 600 {file})")


def _read_key(file: Path) -> Secret | None:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: the key file cannot be read: {error.strerror}") from None
    return key_in(data, str(file))


def key_in(data: bytes, source: str) -> Secret | None:
    """The key that `data` holds; None where it is blank. Raises ConfigError, which names `source` and not the key."""
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: holds no key: keys are plain ASCII text") from None
    return _secret(text, source) if text else None


def _secret(text: str, source: str) -> Secret:
    if len(text) > MAX_KEY_BYTES or not text.isprintable() or not text.isascii() or " " in text:
        raise ConfigError(f"{source}: holds no key: a key is one line of ASCII without blanks")
    return Secret(text)
