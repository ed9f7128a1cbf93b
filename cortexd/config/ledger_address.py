"""The address of a shared ledger: a PostgreSQL database, without its password, over TLS unless it stays here."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

from cortexd.config.addresses import on_this_machine
from cortexd.config.problems import Expectation

_SCHEME = "postgresql+psycopg"
_SHAPE = f"{_SCHEME}://USER@HOST/DATABASE"
_KNOWN = frozenset({"host", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"})
_VERIFIED = ("verify-full", "verify-ca")  # the others talk to whoever answers
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def ledger_address(value: object) -> str:
    """A `[ledger] url`, as it is; "" for none. Raises Expectation, which never shows a password."""
    if value == "":
        return ""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)) if parts else {}
        port = parts.port if parts else None
    except ValueError:
        raise Expectation(f"an address such as {_SHAPE}") from None
    if parts is None or parts.scheme != _SCHEME or not parts.path.strip("/") or port == 0:
        raise Expectation(f"an address such as {_SHAPE}")
    if parts.password is not None or "password" in options:
        raise Expectation(
            f"an address without a password, such as {_SHAPE}; put the password into the file "
            "/etc/cortexd/credentials/ledger_password, or name one with ledger.password_file"
        )
    _check_options(parts, options)
    return str(value)


def with_defaults(url: str) -> str:
    """The address with what TLS needs where it leaves the machine."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not _stays_here(parts, options):
        options = {"sslmode": _VERIFIED[0], "sslrootcert": _AUTHORITIES, **options}
    return parts._replace(query=urlencode(options)).geturl()


def with_role(url: str, role: str) -> str:
    """The same database as another of its roles."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{quote(role, safe='')}@{parts.netloc.rpartition('@')[2]}").geturl()


def _check_options(parts: SplitResult, options: dict[str, list[str]]) -> None:
    if unknown := sorted(options.keys() - _KNOWN):
        raise Expectation(f"only {', '.join(sorted(_KNOWN))} after the question mark, not {unknown[0][:40]!r}")
    given = {name: values[-1] for name, values in options.items()}
    if _stays_here(parts, given):
        return
    if given.get("sslmode", _VERIFIED[0]) not in _VERIFIED:
        raise Expectation(
            f"sslmode={_VERIFIED[0]} for a database on another host, or whoever is on the way could change budgets"
        )


def _stays_here(parts: SplitResult, options: dict[str, str]) -> bool:
    """Whether all of it is a Unix socket or a loopback address."""
    hosts = [host for given in (parts.hostname or "", options.get("host", "")) for host in given.split(",") if host]
    return all(host.startswith("/") or on_this_machine(host) for host in hosts)
