"""Both servers, started once, and one daemon in front of them on the private bus, whose name it has until the last
test here has ended.

`servers`  their processes; `real` the daemon, with a provider for each of their models (see PROVIDERS)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import processes
from tests.servers.processes import GONE, KEY, MOCKS, TINY, Server
from tests.system.books import Books, read_books
from tests.system.conftest import namespace  # noqa: F401
from tests.system.daemon import Daemon
from tests.system.program import program_fixture  # noqa: F401

WRONG_KEY = "sk-sim-wrong-key-of-the-tests-0123456789"
UNKNOWN = "no-such-model"
# provider -> its model at LiteLLM's proxy. Also, at the other server: `transformers`, `transformers_unknown`, and
# `by_responses`, which asks over the Responses API.
PROXIED = {**{name: name for name in (*MOCKS, TINY, GONE)}, "unknown": UNKNOWN, "wrong_key": "mock"}
RATE_IN, RATE_OUT = 2_000, 10_000  # nano-dollars per token
_RATE = 'rate = { input_usd_per_million = "2", output_usd_per_million = "10" }'
NEEDED = "needs the real model servers: script/test installs them with CORTEXD_SLOW=1, script/model-servers alone"


@dataclass(frozen=True, slots=True)
class Servers:
    litellm: Server
    transformers: Server


@dataclass(frozen=True, slots=True)
class Real:
    daemon: Daemon

    def books(self) -> Books:
        return read_books(self.daemon.ledger_file)


@pytest.fixture(scope="package")
def servers() -> Iterator[Servers]:
    if processes.INSTALLED is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    with TemporaryDirectory(prefix="model-servers-") as name:
        transformers = processes.transformers(Path(name))
        both = Servers(processes.litellm(Path(name), transformers), transformers)
        try:
            for server in (both.transformers, both.litellm):
                server.spawn()
            for server in (both.transformers, both.litellm):
                server.await_ready()
            yield both
        finally:
            both.litellm.stop()
            both.transformers.stop()


@pytest.fixture(scope="package")
def real(namespace: Path, servers: Servers) -> Iterator[Real]:  # noqa: F811
    """At the end every request is settled, and the daemon leaves with status 0 and a clean log."""
    daemon = Daemon(namespace / "real-servers", _config(servers), keys=_keys())
    daemon.start()
    try:
        yield Real(daemon)
        read_books(daemon.ledger_file).assert_balanced()
        assert daemon.stop() == 0
    finally:
        if daemon.running:
            daemon.kill()
    daemon.assert_clean_log()


def _keys() -> dict[str, str]:
    return {name: WRONG_KEY if name == "wrong_key" else KEY for name in PROXIED}


def _config(servers: Servers) -> str:
    rows = [_provider(name, servers.litellm.url, model, _RATE) for name, model in PROXIED.items()]
    url, tiny = servers.transformers.url, servers.transformers.model
    local = "local = true"
    rows += [_provider("transformers", url, tiny, local), _provider("transformers_unknown", url, UNKNOWN, local)]
    rows += [_provider("by_responses", url, tiny, local, api="responses")]
    return "[daemon]\npreload_sdks = true\n" + "".join(rows)


def _provider(name: str, url: str, model: str, more: str, api: str = "openai") -> str:
    return f'[providers.{name}]\napi = "{api}"\nbase_url = "{url}"\nmodel = "{model}"\n{more}\n'
