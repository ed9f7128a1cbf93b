"""The fleet's settings on one machine: a file that the daemon keeps, read after all others, of the sections that
machines may have in common.

What is a machine's own (keys, addresses, sockets, paths, the ledger) no revision can say: whoever writes it decides
what may be spent, on what, at which price, and not where requests and keys go.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cortexd.config.settings import Config, LedgerSettings, ProviderSettings
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError, Problem

MAX_TEXT_BYTES = 256 * 1024
SECTIONS = ("budgets", "routing", "privacy", "providers")
OF_A_PROVIDER = ("enabled", "rate", "models", "max_tokens", "max_tokens_per_s")
_OWN = tuple(item.name for item in fields(Config) if item.name not in SECTIONS)
_OWN_OF_A_PROVIDER = frozenset(item.name for item in fields(ProviderSettings)) - set(OF_A_PROVIDER)
_NAME = "fleet-settings.toml"
_HEAD = "# revision {number} of the fleet's settings; cortexd keeps this file: cortexctl fleet settings set\n"
_NUMBER = re.compile(rb"# revision (\d{1,18}) ")
_LONGEST_HEAD = 64


def kept_at(ledger: LedgerSettings) -> Path | None:
    """Where a machine of a fleet keeps the revision that it runs; None where it is in none."""
    return ledger.path.parent / _NAME if ledger.url else None


def is_kept(kept: Path) -> bool:
    """Whether there is a revision. Raises ConfigError where whoever asks may not know."""
    try:
        kept.lstat()
    except PermissionError:
        reason = "the fleet's settings are for root and cortexd's own user to read; try again with sudo"
        raise ConfigError(Problem(str(kept), "", reason, forbidden=True)) from None
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise ConfigError(Problem(str(kept), "", f"cannot be read: {error.strerror}")) from None
    return True


def as_kept(revision: Revision) -> str:
    """The file of a revision."""
    return _HEAD.format(number=revision.number) + revision.text


def named(number: int) -> Path:
    """What an error calls a revision that is no file."""
    return Path(f"revision {number}")


def revision_in(config: Config) -> int:
    """The number of the revision that the machine keeps and that was read; 0 for none, or where it does not say."""
    kept = kept_at(config.ledger)
    if kept not in config.sources:
        return 0
    with kept.open("rb") as stream:
        found = _NUMBER.match(stream.read(_LONGEST_HEAD))
    return int(found[1]) if found else 0


def parted(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What machines may have in common of a revision; and what is each machine's own, with what to do with it."""
    common, own = dict(table), {section: _own(f"[{section}]", SECTIONS) for section in _OWN if section in table}
    for section in own:
        del common[section]
    if isinstance(providers := table.get("providers"), dict):
        common["providers"] = {
            name: {key: value for key, value in settings.items() if key not in _OWN_OF_A_PROVIDER}
            if isinstance(settings, dict)
            else settings
            for name, settings in providers.items()
        }
        own |= {
            f"providers.{name}.{key}": _own(key, OF_A_PROVIDER)
            for name, settings in providers.items()
            if isinstance(settings, dict)
            for key in settings
            if key in _OWN_OF_A_PROVIDER
        }
    return common, own


def _own(what: str, common: tuple[str, ...]) -> str:
    return f"{what} is each machine's own: put it into conf.d there. A fleet sets {', '.join(common)}"
