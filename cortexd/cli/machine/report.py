"""The sections of a bug report: each a title and a text, which says why where it cannot be had."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortexd import __version__
from cortexd.cli.machine.key_files import KeyFiles
from cortexd.cli.machine.scrubbing import journal_lines, scrub
from cortexd.cli.settings import Settings
from cortexd.cli.talking.session import run
from cortexd.errors import ConfigError, CortexError

if TYPE_CHECKING:
    from cortexd.client import AsyncClient

_LIBRARIES = ("dbus-next", "SQLAlchemy", "alembic", "anthropic", "openai", "aiohttp", "msgspec", "click", "rich")
_PROGRAMS = (("systemctl", "--version"), ("dbus-daemon", "--version"), ("pkaction", "--version"))
_UNIT = ("systemctl", "show", "cortex-llm-router.service", "--property")
_PROPERTIES = "LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,MemoryCurrent,TasksCurrent,DropInPaths"
_JOURNAL = (
    "journalctl",
    "--unit=cortex-llm-router.service",
    "--since=-1day",
    "--lines=2000",
    "--output=json",
    "--no-pager",
)
_PROGRAM_S = 30.0
_MAX_BYTES = 32 * 1024 * 1024


class _CannotSay(Exception):
    """Why a section is missing."""


def report(settings: Settings, config: Path | None, files: KeyFiles) -> str:
    """The whole report, scrubbed."""
    known = _known_keys(config, files)
    sections: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "configuration in force, without keys": lambda: _configuration(config),
        "credentials": lambda: _credentials(files),
        "service": lambda: _service(settings),
        "unit": lambda: _program((*_UNIT, _PROPERTIES)),
        "ledger": lambda: _ledger(config),
        "journal of the last day, without request ids": _journal,
    }
    parts = (f"== {title} ==\n{_told(section)}\n" for title, section in sections.items())
    return scrub("\n".join(parts), known)


def _told(section: Callable[[], str]) -> str:
    try:
        return section().strip() or "nothing"
    except (_CannotSay, CortexError, ConfigError, OSError) as error:
        return f"cannot be had: {error}"


def _known_keys(config: Path | None, files: KeyFiles) -> Collection[str]:
    """Every key that this user can read here, so that none of them can be in the report, wherever it may come from."""
    from cortexd.config import load_config, with_keys

    found = set()
    with contextlib.suppress(ConfigError):  # its section says so
        settings = with_keys(load_config(config)).providers.values()
        keys = [key for item in settings for key in (item.key, *(replica.key for replica in item.replicas))]
        found |= {key.reveal() for key in keys if key is not None}
    with contextlib.suppress(OSError):  # whoever cannot read a key cannot give it away
        found |= {file.read_text("ascii", "replace").strip() for file in files.list().values() if file.suffix == ""}
    return {key for key in found if len(key) >= 4}


def _versions() -> str:
    lines = [
        f"cortexd {__version__}",
        f"Python {platform.python_version()}",
        f"{os.uname().sysname} {os.uname().release}",
    ]
    try:
        lines.append(platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown system"))
    except OSError:
        lines.append("an unknown system")
    for name in _LIBRARIES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    lines += [_program(words).partition("\n")[0] for words in _PROGRAMS if shutil.which(words[0])]
    return "\n".join(lines)


def _configuration(config: Path | None) -> str:
    from cortexd.cli.shown.settings_as_toml import settings_as_toml
    from cortexd.config import load_config

    return settings_as_toml(load_config(config))


def _credentials(files: KeyFiles) -> str:
    return "\n".join(f"{name}: {file}" for name, file in files.list().items())


def _service(settings: Settings) -> str:
    async def read(client: AsyncClient) -> tuple[Any, ...]:
        properties, stats = await client.properties(), await client.stats()
        return properties, stats.uptime_s, stats.queued_requests, stats.ledger_writable, await client.providers()

    properties, uptime_s, queued, writable, providers = run(settings, read)
    lines = [str(properties), f"up for {uptime_s} s, {queued} requests waiting, ledger writable: {writable}"]
    lines += [json.dumps(item.raw, default=str) for item in providers]
    return "\n".join(lines)


def _ledger(config: Path | None) -> str:
    from cortexd.config import load_config, with_keys
    from cortexd.ledger.keeping.maintenance import check

    ledger = with_keys(load_config(config)).ledger
    problems = check(ledger) or ["right"]
    if ledger.url:
        return "\n".join([ledger.url, *problems])
    path = ledger.path
    free = shutil.disk_usage(path.parent).free // 2**20
    return "\n".join([f"{path}: {path.stat().st_size // 1024} KiB, {free} MiB free beside it", *problems])


def _journal() -> str:
    return "\n".join(journal_lines(_entries(_program(_JOURNAL))))


def _entries(text: str) -> Iterator[dict[str, object]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _program(argv: tuple[str, ...]) -> str:
    """What it prints. Raises _CannotSay."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROGRAM_S, check=False
        )
    except FileNotFoundError:
        raise _CannotSay(f"there is no {argv[0]}") from None
    except subprocess.TimeoutExpired:
        raise _CannotSay(f"{argv[0]} took more than {_PROGRAM_S:g} s") from None
    if done.returncode:
        raise _CannotSay(done.stderr.decode("utf-8", "replace").strip() or f"{argv[0]}: status {done.returncode}")
    return done.stdout[-_MAX_BYTES:].decode("utf-8", "replace")
