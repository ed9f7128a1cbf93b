"""What the SDKs themselves send is what goes out in their name, whichever release of them is installed."""

from __future__ import annotations

import importlib
from typing import Any

import httpx2
import pytest

from cortexd.errors import ProviderError
from cortexd.providers.kinds import api_kind
from cortexd.providers.transport import REQUEST_HEADERS
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each
from tests.contract.test_providers_headers import sent

ASKED: dict[str, dict[str, Any]] = {
    "anthropic": {"max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]},
    "openai": {"messages": [{"role": "user", "content": "hello"}]},
    "responses": {"input": "hello"},
}
# HTTP's own, which differ with the library and the body, and how long the SDK alone would wait.
OF_ONE_REQUEST = {"connection", "content-length", "x-stainless-timeout", "x-stainless-read-timeout"}


def told(request: bytes) -> tuple[bytes, dict[str, str]]:
    """The request's first line, and its headers but for those of one request."""
    found = dict(sent(request))
    return request.partition(b"\r\n")[0], {name: found[name] for name in found.keys() - OF_ONE_REQUEST}


@each
@pytest.mark.parametrize("below", ["", "/gateway/v2"])
async def test_is_what_the_sdk_sends(hostile: HostileServer, make: MakeProvider, name: str, below: str) -> None:
    """Path, key, versions and the rest, as its own method sends them; but for compressed answers, which it asks for."""
    hostile.json("{}", "500 Oops")
    kind = api_kind(KINDS[name].api)
    sdk, ask = kind.sdk, kind.sdk_call.method
    url = f"http://127.0.0.1:{hostile.port}{below}{KINDS[name].path}"
    with pytest.raises(ProviderError):
        await make(name, url).complete(call(name))
    module = importlib.import_module(sdk.module)
    async with httpx2.AsyncClient(trust_env=False, headers=REQUEST_HEADERS) as http:
        client = getattr(module, sdk.asynchronous)(
            api_key=f"sk-sim-{name}-0123456789", base_url=url, max_retries=0, http_client=http, **sdk.options
        )
        with pytest.raises(module.APIStatusError):
            await ask(client)(model="m", extra_headers=REQUEST_HEADERS, **ASKED[KINDS[name].api])
    ours, theirs = map(told, hostile.requests)
    assert ours == theirs
