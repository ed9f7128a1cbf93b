"""A web page in a real browser against a user's bridge: it tries what it can, and gets nothing. script/try-browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.system.browser.relay import PAGE, Head, Relay, relaying
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.test_bridge import TOKEN, bridge
from tests.system.zones import noon

CONFIG = "[daemon]\npreload_sdks = true\n"
ENVIRONMENT = noon()
BROWSER = os.environ.get("CORTEXD_BROWSER", "")
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="needs Chromium, which is large: script/try-browser"),
    pytest.mark.timeout(600),
]
_LEAST_TRIED = 110
_PAGE_S = 300.0
_REFUSALS = {400, 403}
_LOAD_ANYTHING = {"preload", "embed"}  # Chromium says so of a refusal, too
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--host-resolver-rules=MAP *.test 127.0.0.1", "--disable-dev-shm-usage"),
)
# of one look at a page, or of this machine: not what tells a page from a program
_PASSING = re.compile(
    r"host|user-agent|sec-ch-ua.*|content-length|referer|accept.*|sec-websocket-.*|range", re.IGNORECASE
)
_PORT = re.compile(r":[0-9]+$")
_BOUNDARY = re.compile(r"(?<=boundary=).*")


@pytest.fixture(scope="module", name="relay")
def relay_fixture(shared_of_module: object) -> Iterator[Relay]:
    with bridge() as running, relaying(running.port) as relay:
        yield relay


@contextmanager
def looked_at(address: str, profile: Path) -> Iterator[None]:
    options = [*_OPTIONS, f"--user-data-dir={profile}"]
    with subprocess.Popen(
        [BROWSER, *options, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            yield
        finally:
            browser.terminate()


def what_it_read(relay: Relay, page: str, target: str, profile: Path) -> dict[str, str]:
    """Of each attempt of a page at `page` what it got to see."""
    address = f"http://{page}:{relay.port}{PAGE}?{urlencode({'target': f'http://{target}:{relay.port}', 'key': TOKEN})}"
    with looked_at(address, profile):
        result: Any = relay.results.get(timeout=_PAGE_S)
    assert result["tried"] >= _LEAST_TRIED
    return dict(result["read"])


class TestPage:
    @pytest.mark.parametrize("target", ["127.0.0.1", "localhost", "rebound.test"])
    def test_of_another_origin(self, relay: Relay, shared: Shared, target: str, tmp_path: Path) -> None:
        """With the key of the bridge, even: it reads nothing, and nothing is charged."""
        before = len(relay.statuses)
        read = what_it_read(relay, "attacker.test", target, tmp_path)
        assert len(relay.statuses) - before > _LEAST_TRIED / 2  # they arrived
        assert set(relay.statuses[before:]) <= _REFUSALS
        assert {name: text for name, text in read.items() if text and text != "loaded"} == {}
        assert {name.partition(" ")[0] for name, text in read.items() if text == "loaded"} <= _LOAD_ANYTHING
        assert_nothing_asked(shared)

    def test_of_a_rebound_name(self, relay: Relay, shared: Shared, tmp_path: Path) -> None:
        """A page whose own name has come to lead here reads refusals, and no word of a model or of the machine."""
        read = what_it_read(relay, "rebound.test", "rebound.test", tmp_path)
        answers = {name: text for name, text in read.items() if text[:3].isdigit()}
        assert len(answers) > 20
        assert {int(text[:3]) for text in answers.values()} <= _REFUSALS
        assert not [name for name, text in read.items() if "claude" in text or '"ok"' in text]
        assert_nothing_asked(shared)

    def test_a_program_beside_it(self, relay: Relay, shared: Shared) -> None:
        """The same way is open to one: what kept the pages out is what they are."""
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{relay.port}/v1/chat/completions"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            assert answer.status == 200

    def test_what_was_sent_is_kept(self, relay: Relay) -> None:
        """For the table test that CI runs: tests/unit/browser_heads.json, where CORTEXD_BROWSER_HEADS names it."""
        rows = sorted({_row(head) for head in relay.heads if head.get("user-agent").startswith("Mozilla/")})
        assert len(rows) > 20
        if path := os.environ.get("CORTEXD_BROWSER_HEADS"):
            lines = ",\n".join(f" {json.dumps(row)}" for row in rows)
            Path(path).write_text(f"[\n{lines}\n]\n")


def assert_nothing_asked(shared: Shared) -> None:
    assert shared.requests() == {"claude": 0, "kimi_k2": 0}
    assert shared.books().charged_nano == 0


def _row(head: Head) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Method, host without its port, and the headers that say what the sender is."""
    kept = [(name, value) for name, value in head.headers if not _PASSING.fullmatch(name)]
    told = tuple((name, _BOUNDARY.sub("x", _PORT.sub("", value))) for name, value in kept)
    return head.method, head.get("host").partition(":")[0], told
