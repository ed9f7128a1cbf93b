"""The servers, started once, and one daemon in front of them on the private bus, whose name it has until the last
test here has ended.

`servers`  their processes; `real` the daemon, with a provider for each of their models (see PROXIED and PRESETS)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import processes
from tests.servers.processes import GONE, KEY, MOCKS, TINY, VLLM, Server
from tests.system.books import Books, read_books
from tests.system.conftest import namespace  # noqa: F401
from tests.system.daemon import Daemon
from tests.system.program import program_fixture  # noqa: F401

WRONG_KEY = "sk-sim-wrong-key-of-the-tests-0123456789"
UNKNOWN = "no-such-model"
# provider -> its model at LiteLLM's proxy. Also, at the other server: `transformers`, `transformers_unknown`, and
# `by_responses`, which asks over the Responses API.
PROXIED = {**{name: name for name in (*MOCKS, TINY, GONE)}, "unknown": UNKNOWN, "wrong_key": "mock"}
# provider -> its preset, its API kind and its server; each has the rate
PRESETS = {
    "by_transformers": ("transformers", "openai"),
    "by_litellm": ("litellm", "openai"),
    "by_llamacpp": ("llamacpp", "openai"),
    "messages_litellm": ("litellm", "anthropic"),
    "messages_llamacpp": ("llamacpp", "anthropic"),
    **({"by_vllm": ("vllm", "openai"), "messages_vllm": ("vllm", "anthropic")} if VLLM else {}),
}
# task type -> who is asked, in this order
ROWS = {
    "code_generation": ["by_llamacpp", "by_transformers"],
    "configuration": ["by_transformers", "by_llamacpp"],
    "error_debugging": ["by_litellm", "by_llamacpp"],
    "requirement_parsing": ["rate_limited", "by_llamacpp"],
    "dependency_resolution": ["messages_llamacpp", "by_transformers"],
    **({"user_chat": ["by_vllm", "by_transformers"]} if VLLM else {}),
}
RATE_IN, RATE_OUT = 2_000, 10_000  # nano-dollars per token
_RATE = 'rate = { input_usd_per_million = "2", output_usd_per_million = "10" }'
NEEDED = "needs the real model servers: script/test installs them with CORTEXD_SLOW=1, script/model-servers alone"


@dataclass(frozen=True, slots=True)
class Servers:
    litellm: Server
    transformers: Server
    llamacpp: Server
    vllm: Server | None = None

    def all(self) -> tuple[Server, ...]:
        every = (self.transformers, self.llamacpp, self.litellm, self.vllm)
        return tuple(server for server in every if server is not None)


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
        llamacpp = processes.llamacpp(Path(name))
        vllm = processes.vllm(Path(name)) if VLLM else None
        every = Servers(processes.litellm(Path(name), transformers), transformers, llamacpp, vllm)
        try:
            for server in every.all():
                server.spawn()
            for server in every.all():
                server.await_ready()
            yield every
        finally:
            for server in every.all():
                server.stop()


@pytest.fixture(scope="package")
def real(namespace: Path, servers: Servers) -> Iterator[Real]:  # noqa: F811
    """At the end every request is settled, and the daemon leaves with status 0 and a clean log."""
    daemon = Daemon(namespace / "real-servers", _config(servers), keys=_keys())
    with daemon.serving():
        yield Real(daemon)
        read_books(daemon.ledger_file).assert_balanced()


def _keys() -> dict[str, str]:
    keys = {name: WRONG_KEY if name == "wrong_key" else KEY for name in PROXIED}
    return keys | {name: KEY for name, (preset, _) in PRESETS.items() if preset == "litellm"}


def _config(servers: Servers) -> str:
    rows = [_provider(name, servers.litellm.url, model, _RATE) for name, model in PROXIED.items()]
    url, tiny = servers.transformers.url, servers.transformers.model
    local = "local = true"
    rows += [_provider("transformers", url, tiny, local), _provider("transformers_unknown", url, UNKNOWN, local)]
    rows += [_provider("by_responses", url, tiny, local, api="responses")]
    rows += [_by_preset(name, preset, api, getattr(servers, preset)) for name, (preset, api) in PRESETS.items()]
    rows += ["[routing.table]\n", *(f"{task} = {json.dumps(row)}\n" for task, row in ROWS.items())]
    return "[daemon]\npreload_sdks = true\n" + "".join(rows)


def _by_preset(name: str, preset: str, api: str, server: Server) -> str:
    model = TINY if preset == "litellm" else server.model
    url = server.url if api == "openai" else server.url.removesuffix("/v1")
    chosen = "" if api == "openai" else f'api = "{api}"\n'
    return f'[providers.{name}]\npreset = "{preset}"\n{chosen}base_url = "{url}"\nmodel = "{model}"\n{_RATE}\n'


def _provider(name: str, url: str, model: str, more: str, api: str = "openai") -> str:
    return f'[providers.{name}]\napi = "{api}"\nbase_url = "{url}"\nmodel = "{model}"\n{more}\n'
