"""Names of providers and of variables. A provider's leads to a credential, so no two may lead to the same one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cortexd.config.problems import Expectation

_NAME = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HANDED_OVER = "keys_"
LEDGER_PASSWORD = "ledger_password"  # noqa: S105  the name of a credential


def credential_files(name: str) -> tuple[str, str]:
    """The names that systemd may hand the key of provider `name` over by, the first that exists counting.

    `LoadCredential=keys:/etc/cortexd/credentials` makes keys_NAME of each file, a single `LoadCredential=NAME:…` NAME.
    """
    return f"{_HANDED_OVER}{name}", name


def fault_of_name(name: str) -> str:
    """What is wrong with it, "" for nothing."""
    if not _NAME.fullmatch(name):
        return f"expected a name of letters, digits, '_' and '-', 64 at most, got {name[:80]!r}"
    if _alike(name) == LEDGER_PASSWORD:
        return f"expected another name: {LEDGER_PASSWORD} is the credential of the ledger's password"
    if _alike(name).startswith(_HANDED_OVER):
        return f"expected a name that does not begin with {_HANDED_OVER!r}: systemd hands another's key over by it"
    return ""


def variable_name(value: object) -> str:
    """An environment variable's. Raises Expectation."""
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise Expectation("the name of an environment variable")
    return value


def taken_names(names: Iterable[str]) -> dict[str, str]:
    """The names that differ from an earlier one by case, '-' and '_' alone, each with that one."""
    first: dict[str, str] = {}
    return {name: earlier for name in names if (earlier := first.setdefault(_alike(name), name)) != name}


def _alike(name: str) -> str:
    return name.lower().replace("-", "_")
