"""Addresses of endpoints and proxies: what no request can be sent to is refused here, with the reason.

As strict as httpx2, aiohttp and the resolver together. Underscores in host names are right: containers have them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from cortexd.config.problems import Expectation

MAX_ADDRESS = 2048
_MAX_HOST = 253
_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")
_CREDENTIALS = re.compile(r"^([a-z+]*://)?.*@", re.IGNORECASE | re.DOTALL)
_OPTION = re.compile(r"([?&])(?!(?:sslmode|host)=)([^=&]*=)?[^&]*", re.IGNORECASE)  # keys and passwords stand there too


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of an address: `host` in ASCII, lower case and without brackets; `path` "" or from its slash on."""

    scheme: str
    credentials: str
    host: str
    port: int | None
    path: str

    @property
    def place(self) -> tuple[str, str, int, str]:
        """The same for two ways to write where requests go."""
        usual = 443 if self.scheme == "https" else 80
        return self.scheme, self.host, self.port or usual, self.path.rstrip("/")

    @property
    def crosses_in_clear(self) -> bool:
        """Whether keys and prompts would go over a network as plain text."""
        return self.scheme == "http" and not on_this_machine(self.host)


def endpoint_address(value: object) -> str:
    """A `base_url`, as it is. Raises Expectation."""
    if parse_address(value).credentials:
        raise Expectation("an address without user and password; a key goes where cortexctl credentials set puts it")
    return str(value)


def proxy_address(value: object) -> str:
    """A proxy's address, which may hold user and password. Raises Expectation."""
    if parse_address(value).path not in ("", "/"):
        raise Expectation("an address that ends with the host or the port")
    return str(value)


def proxy_exceptions(value: object) -> tuple[str, ...]:
    """The entries of `no_proxy`. Raises Expectation."""
    if not isinstance(value, list):
        raise Expectation("a list of texts")
    for number, entry in enumerate(value):
        if not isinstance(entry, str) or not _is_exception(entry):
            words = '"*", a host, an address, a network such as "10.0.0.0/8", or a domain such as ".example.com"'
            raise Expectation(words, f"no_proxy[{number}]", entry)
    return tuple(value)


def parse_address(value: object) -> Address:
    """Raises Expectation."""
    if not isinstance(value, str) or not value or len(value) > MAX_ADDRESS:
        raise Expectation("an address that begins with https://")
    if not value.isprintable() or " " in value:
        raise Expectation("an address without blanks and control characters")
    scheme = _SCHEME.match(value)
    if not scheme:
        raise Expectation("an address that begins with https:// (or http://, for this machine)")
    if "?" in value or "#" in value:
        raise Expectation("an address without '?' and '#'")
    authority, slash, path = value[scheme.end() :].partition("/")
    credentials, at, place = authority.rpartition("@")
    if "@" in credentials:
        raise Expectation("an address with at most one '@'; in a password it is written as %40")
    host, port = _host_and_port(place)
    return Address(scheme[1].lower(), credentials + at, _host(host), port, slash + path)


def on_this_machine(host: str) -> bool:
    """Whether what is sent to `host` never leaves the machine; a private network is not the machine."""
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    return inner.is_loopback or inner.is_unspecified


def bypasses(host: str, no_proxy: Collection[str]) -> bool:
    """Whether `host` is in `no_proxy`: "*", an address, a network, or a domain with all below it."""
    return any(_covers(entry.strip().lower(), host.lower()) for entry in no_proxy)


def _covers(entry: str, host: str) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        domain = entry.removeprefix("*").lstrip(".")
        return host == domain or host.endswith(f".{domain}")


def without_credentials(text: str) -> str:
    """What somebody meant as an address, for people to see: whatever may be a user, a password or a key is hidden."""
    return _OPTION.sub(r"\1\2(hidden)", _CREDENTIALS.sub(r"\1(hidden)@", text))


def _host_and_port(place: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"(\[[^][]*\])(?::(.*))?", place)
    host, port = bracketed.groups() if bracketed else _parted(place)
    if port is None:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise Expectation("a port from 1 to 65_535 after the ':'")
    return host, int(port)


def _parted(place: str) -> tuple[str, str | None]:
    host, colon, port = place.partition(":")
    return host, port if colon else None


def _host(host: str) -> str:
    """In ASCII and lower case. Raises Expectation."""
    if not host:
        raise Expectation("an address with a host, such as https://api.example.com/v1")
    if host.startswith("["):
        return _ipv6(host[1:-1])
    name = _in_ascii(host)
    labels = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise Expectation("a host whose parts are 1 to 63 letters, digits, '-' and '_', 253 characters in all")
    return name


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise Expectation("an IPv6 address between the brackets") from None
    if address.scope_id:
        raise Expectation("an IPv6 address without '%' and zone")
    return address.compressed


def _ipv4(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise Expectation("a host name, or an IPv4 address of four numbers from 0 to 255") from None


def _in_ascii(host: str) -> str:
    """As the name servers are asked. Raises Expectation."""
    if host.isascii() and "xn--" not in host.lower():
        return host.lower()
    import idna

    try:
        if host.isascii():
            idna.decode(host.lower())  # as httpx2 and aiohttp do, not all of them with a second try
            return host.lower()
        return idna.encode(host.lower()).decode("ascii")
    except UnicodeError:
        raise Expectation("a host name that can be encoded (IDNA)") from None


def _is_exception(text: str) -> bool:
    entry = text.strip()
    if entry == "*":
        return True
    try:
        ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        return True
    try:
        _host(entry.removeprefix("*").lstrip("."))
    except Expectation:
        return False
    return True
