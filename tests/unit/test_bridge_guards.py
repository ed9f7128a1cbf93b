"""Who may speak to a bridge: every combination of what programs and web pages send."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from multidict import CIMultiDict

from cortexd.bridge.guards import refuse_browsers, refuse_other_users, refuse_without
from cortexd.errors import AccessDenied, InvalidArgument

# value -> whether a program's request may have it
HOSTS = {
    "localhost": True, "127.0.0.1": True, "[::1]": True, "LOCALHOST:8123": True, "127.0.0.1:65535": True,
    "[::1]:8123": True, None: False, "": False, "example.org": False, "localhost.example.org": False,
    "127.0.0.1.example.org:8123": False, "localhost@example.org": False, "example.org:127.0.0.1": False,
    "127.0.0.2": False, "0.0.0.0": False, "[::]": False, "localhost:": False, "localhost:80:80": False,
    "localhost:port": False, "localhost.": False, "127.1": False, "2130706433": False, "[::ffff:127.0.0.1]": False,
    " localhost": False, "localhost\t": False, "localhost:٨": False, "localhost/": False, "xn--localhost": False,
}  # fmt: skip
PAGES = {
    None: True,
    ("Origin", "http://example.org"): False,
    ("Origin", "http://localhost"): False,
    ("origin", "null"): False,
    ("Origin", ""): False,
    ("Sec-Fetch-Site", "none"): False,
    ("Sec-Fetch-Site", "same-origin"): False,
    ("Sec-Fetch-Dest", "image"): False,
    ("SEC-FETCH-USER", "?1"): False,
    ("Sec-Fetch-Mode", "cors"): True,  # Node's fetch
}
TYPES = {
    "application/json": True, "Application/JSON; charset=utf-8": True, "application/json;": True, None: False,
    "text/plain": False, "application/x-www-form-urlencoded": False, "multipart/form-data; boundary=x": False,
    "text/plain; application/json": False, "application/json2": False, "": False,
}  # fmt: skip
TARGETS = {
    "/v1/messages": True, "/": True, "//example.org/v1": True, "http://localhost/v1/messages": False,
    "http://example.org/": False, "*": False, "localhost:8123": False, "": False,
}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE")
_TABLES = (HOSTS, PAGES, TYPES, TARGETS)


def rows() -> Iterator[tuple[str, bool, tuple[object, ...], bool]]:
    """Method, whether it comes to the port, a value of each table, and whether it may pass; two at a time vary."""
    right = [[value for value, may in table.items() if may] for table in _TABLES]
    usual = [values[0] for values in right]
    for first, second in itertools.combinations(range(len(_TABLES)), 2):
        for one, other in itertools.product(_TABLES[first], _TABLES[second]):
            values = [*usual]
            values[first], values[second] = one, other
            for method, tcp in itertools.product(METHODS, (True, False)):
                yield method, tcp, tuple(values), _may(method, tcp, values)


def _may(method: str, tcp: bool, values: Sequence[object]) -> bool:
    host, page, kind, target = (table[value] for table, value in zip(_TABLES, values, strict=True))  # type: ignore[index]
    return (host or not tcp) and page and target and (kind or method != "POST")


def passes(method: str, tcp: bool, values: tuple[object, ...]) -> bool:
    host, page, kind, target = values
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in (("Host", host), ("Content-Type", kind), *([page] if isinstance(page, tuple) else [])):
        if value is not None:
            headers.add(name, str(value))
    try:
        refuse_browsers(headers, method, str(target), tcp=tcp)
    except (AccessDenied, InvalidArgument):
        return False
    return True


class TestPages:
    def test_every_combination(self) -> None:
        """What only pages send, a rebound name, an odd target and what a form can post are refused, and no more."""
        checked = list(rows())
        assert len(checked) > 5000
        assert {may for *_, may in checked} == {True, False}
        assert [row for row in checked if passes(*row[:3]) != row[3]] == []


# What Chromium 156 sent for a page of another origin, and for one whose name had come to lead here (rebound.test), by
# script/try-browser --heads: method, host, and the headers that say what the sender is.
FROM_CHROMIUM = json.loads(Path(__file__).with_name("browser_heads.json").read_text())


class TestChromium:
    @pytest.mark.parametrize(("method", "host", "told"), FROM_CHROMIUM)
    def test_is_known_for_what_it_is(self, method: str, host: str, told: list[list[str]]) -> None:
        """Each of its requests, with or without the key that a page may put in."""
        headers = CIMultiDict([("Host", f"{host}:8123"), *((name, value) for name, value in told)])
        with pytest.raises((AccessDenied, InvalidArgument)):
            refuse_browsers(headers, method, "/v1/messages", tcp=True)

    def test_all_that_a_page_can_do(self) -> None:
        """The recording has each kind of request."""
        methods = {method for method, *_ in FROM_CHROMIUM}
        names = {name.lower() for *_, told in FROM_CHROMIUM for name, _ in told}
        assert methods >= {"GET", "HEAD", "POST", "OPTIONS"}
        assert names >= {"origin", "sec-fetch-site", "x-api-key", "upgrade", "content-type"}


class TestCallers:
    @pytest.mark.parametrize(("uid", "may"), [(1000, True), (1001, False), (0, False), (None, False), (-1, False)])
    def test_their_user(self, uid: int | None, may: bool) -> None:
        """The bridge's own and nobody else, root neither; where the kernel says nothing it is nobody."""
        assert refused(lambda: refuse_other_users(uid, 1000)) != may

    @pytest.mark.parametrize(
        ("headers", "may"),
        [
            ({"Authorization": "Bearer the-key"}, True),
            ({"Authorization": "the-key"}, True),
            ({"x-api-key": "the-key"}, True),
            ({"Authorization": "Bearer another", "x-api-key": "the-key"}, True),  # an SDK with a key of its own, too
            ({"Authorization": "Bearer the-key2"}, False),
            ({"Authorization": "Bearer "}, False),
            ({"Authorization": "Basic the-key"}, False),
            ({"x-api-key": "\udcff"}, False),
            ({"api-key": "the-key"}, False),
            ({}, False),
        ],
    )
    def test_their_key(self, headers: dict[str, str], may: bool) -> None:
        """In either vendor's header; a bridge without a key takes nobody."""
        assert refused(lambda: refuse_without("the-key", headers)) != may
        assert refused(lambda: refuse_without("", headers))


def refused(guard: object) -> bool:
    assert callable(guard)
    try:
        guard()
    except AccessDenied:
        return True
    return False
