"""Header fields that a provider's requests carry besides cortexd's own: which names and values there can be."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cortexd.config.problems import Expectation, Unshown
from cortexd.config.settings import Secret

MAX_HEADERS = 16
MAX_VALUE = 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_VISIBLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# RFC 9110, 7.6.1, with what stands for a connection, a body or a person, and what cortexd itself has to say
_TAKEN = (
    *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    *("proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("content-length", "content-type", "content-encoding", "accept", "accept-encoding", "host", "expect"),
    *("authorization", "cookie", "set-cookie", "anthropic-version"),
)


def header_name(value: object, path: str = "") -> str:
    """Raises Expectation."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise Expectation("a header's name of at most 64 letters, digits and '-'", path, value)
    if value.lower() in _TAKEN:
        why = (
            "leave auth_header out for it" if value.lower() == "authorization" else "cortexd or the connection sets it"
        )
        raise Expectation("another header", path, value, why)
    return value


def headers(value: object) -> Mapping[str, Secret]:
    """Names and values. Raises Expectation, which shows no value."""
    if not isinstance(value, dict):
        raise Expectation('a table of "name" = "value"', "headers", Unshown(value))
    if len(value) > MAX_HEADERS:
        raise Expectation(f"at most {MAX_HEADERS} headers", "headers", len(value))
    known: dict[str, Secret] = {}
    for name, text in value.items():
        path = f"headers.{name}" if _TOKEN.fullmatch(name) else "headers"
        if header_name(name, path).lower() in map(str.lower, known):
            raise Expectation("each header once, whatever its case", path, name)
        known[name] = _value(text, path)
    return known


def _value(value: object, path: str) -> Secret:
    if not isinstance(value, str) or len(value) > MAX_VALUE or not _VISIBLE.fullmatch(value):
        raise Expectation(f"1 to {MAX_VALUE} visible ASCII characters, with blanks in between", path, Unshown(value))
    return Secret(value)
