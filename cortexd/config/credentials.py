"""Provider keys, and the ledger's password: from systemd credentials, files or environment variables, in that order;
never from the TOML.

systemd hands a credentials directory `keys:/etc/cortexd/credentials` over as files `keys_NAME`; a single
`LoadCredential=NAME:…` as `NAME`. A reload reads the files again, but systemd fixes credentials at start.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from cortexd.config.files import Unusable, is_there, read_file, refuse_unsafe_directory
from cortexd.config.names import LEDGER_PASSWORD, credential_files
from cortexd.config.problems import Problems
from cortexd.config.settings import Config, LedgerSettings, ProviderSettings, ReplicaSettings, Secret
from cortexd.errors import ConfigError, Problem

MAX_KEY_BYTES = 16 * 1024
UNIT_CREDENTIALS = Path("/etc/cortexd/credentials")


def with_keys(config: Config, environ: Mapping[str, str] = os.environ) -> Config:
    """`config` with each provider's key filled in where one is found. Raises ConfigError for every unusable one."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    problems = Problems()
    providers = dict(config.providers)
    for name, settings in providers.items():
        with problems.collected():
            key = _find_key(name, settings, directory, environ)
            replicas = tuple(_with_key(item, key, directory, environ) for item in settings.replicas)
            providers[name] = dataclasses.replace(settings, key=key, replicas=replicas)
    with problems.collected():
        config = dataclasses.replace(config, ledger=_with_password(config.ledger, directory))
    problems.raise_any()
    return dataclasses.replace(config, providers=providers)


def ledger_with_password(config: Config, environ: Mapping[str, str] = os.environ) -> LedgerSettings:
    """The ledger's settings, for an administrator's tool, which finds the password where the unit has it from.

    Raises ConfigError where it cannot be used."""
    return _with_password(config.ledger, environ.get("CREDENTIALS_DIRECTORY") or str(UNIT_CREDENTIALS))


def what_is_missing(settings: ProviderSettings) -> str:
    """Why this provider is not configured, in two words."""
    return "no key" if settings.enabled else "switched off"


def how_to_configure(settings: ProviderSettings) -> str:
    """What an administrator has to set so that this provider can answer."""
    name = settings.name
    if not settings.enabled:
        return f"switched off by providers.{name}.enabled"
    variable = f" or {settings.key_variable}" if settings.key_variable else ""
    return f"no key. Run cortexctl credentials set {name}, or set providers.{name}.key_file{variable}"


def _with_key(
    replica: ReplicaSettings, shared: Secret | None, directory: str | None, environ: Mapping[str, str]
) -> ReplicaSettings:
    """With its own key, which is nobody else's, or the provider's."""
    if not replica.own_key:
        return dataclasses.replace(replica, key=shared)
    return dataclasses.replace(replica, key=_find_key(replica.credential, replica, directory, environ))


def _with_password(settings: LedgerSettings, directory: str | None) -> LedgerSettings:
    if not settings.url:
        return settings
    file = _file_of(LEDGER_PASSWORD, settings.password_file, directory)
    return dataclasses.replace(settings, password=_read_key(*file) if file else None)


def _find_key(
    credential: str | None,
    settings: ProviderSettings | ReplicaSettings,
    directory: str | None,
    environ: Mapping[str, str],
) -> Secret | None:
    if file := _file_of(credential, settings.key_file, directory):
        return _read_key(*file)
    value = environ.get(settings.key_variable, "").strip() if settings.key_variable else ""
    return _secret(value, f"environment variable {settings.key_variable}") if value else None


def _file_of(credential: str | None, own_file: Path | None, directory: str | None) -> tuple[Path, bool] | None:
    """The file to read, and whether its place must be private: systemd's directory is closed."""
    if directory and credential:
        for name in credential_files(credential):
            file = Path(directory) / name
            if is_there(file):
                return file, False
    return None if own_file is None else (own_file, True)


def _read_key(file: Path, private: bool) -> Secret | None:
    try:
        data = read_file(file, most=MAX_KEY_BYTES, private=private)
        if private:
            _refuse_unsafe_place(file)
    except Unusable as reason:
        raise ConfigError(reason.of(file, "the file {}")) from None
    return key_in(data, str(file))


def _refuse_unsafe_place(file: Path) -> None:
    try:
        refuse_unsafe_directory(file.parent)
    except Unusable as reason:
        raise Unusable(f"cannot be trusted: its directory {reason}") from None


def key_of_file(file: Path) -> Secret | None:
    """The key in a private file; None where it is blank. Raises ConfigError, which names the file and not the key."""
    return _read_key(file, private=True)


def key_in(data: bytes, source: str) -> Secret | None:
    """The key that `data` holds; None where it is blank. Raises ConfigError, which names `source` and not the key."""
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(Problem(source, "", "holds no key: keys are plain ASCII text")) from None
    return _secret(text, source) if text else None


def _secret(text: str, source: str) -> Secret:
    if len(text) > MAX_KEY_BYTES or not text.isprintable() or not text.isascii() or " " in text:
        raise ConfigError(Problem(source, "", "holds no key: a key is one line of ASCII without blanks"))
    return Secret(text)
