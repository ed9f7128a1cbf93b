"""Gateways that want the key in a header of their own, and further headers, through the real SDKs."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import replace
from typing import Any

import pytest

from cortexd.config.settings import ProviderSettings, Secret
from cortexd.errors import Failure, ProviderError
from cortexd.providers.kinds import api_kind
from cortexd.providers.vendor_clients import async_client, blocking_client
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import DIRECT, HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each
from tests.contract.test_providers_what_leaves import HEADERS, OF_THE_SDK

TEAM = "of-the-web-team-0123"
OTHER_KEY = "another-secret-0123"
GATEWAY = Behaviour(key_header="x-api-key", demanded_headers={"X-Team": TEAM, "x-route": "eu; q=1"})
SETTINGS: dict[str, Any] = {
    "auth_header": "X-Api-Key",
    "headers": {"X-Team": Secret(TEAM), "x-route": Secret("eu; q=1")},
}


def sent(request: bytes) -> list[tuple[str, str]]:
    """Each header as it was on the wire, in lower case."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


@each
class TestGateway:
    async def test_is_answered(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """The key in its header alone, and the others."""
        simulated.behave(name, GATEWAY)
        answer = await make(name, simulated.url(name), **SETTINGS).complete(call(name, "hello"))
        assert answer.content.endswith("hello")

    @pytest.mark.parametrize(
        ("without", "failure"), [("auth_header", Failure.AUTHENTICATION), ("headers", Failure.AUTHENTICATION)]
    )
    async def test_insists(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, without: str, failure: Failure
    ) -> None:
        """Without either of the settings it refuses."""
        simulated.behave(name, GATEWAY)
        settings = {key: value for key, value in SETTINGS.items() if key != without}
        with pytest.raises(ProviderError) as caught:
            await make(name, simulated.url(name), **settings).complete(call(name))
        assert caught.value.failure is failure

    async def test_wrong_key(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A key that the gateway does not know is an authentication failure as ever."""
        simulated.behave(name, GATEWAY)
        provider = make(name, simulated.url(name), **SETTINGS, key=Secret("another-key"))
        with pytest.raises(ProviderError) as caught:
            await provider.complete(call(name))
        assert caught.value.failure is Failure.AUTHENTICATION


@each
class TestRequest:
    async def head(self, hostile: HostileServer, make: MakeProvider, name: str, **settings: Any) -> dict[str, str]:
        """The headers of a request, each there once."""
        hostile.json("{}", "500 Oops")
        with pytest.raises(ProviderError):
            await make(name, hostile.url(name), **settings).complete(call(name))
        found = sent(hostile.requests[-1])
        assert len(dict(found)) == len(found)
        return dict(found)

    async def test_key_goes_once(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """As it is, in that header; what else is sent is what would be without the settings."""
        usual = await self.head(hostile, make, name)
        own = await self.head(hostile, make, name, **SETTINGS)
        assert usual.pop("authorization") == f"Bearer {own['x-api-key']}"
        added = {"x-api-key": own["x-api-key"], "x-team": TEAM, "x-route": "eu; q=1"}
        assert own == {**usual, **added}

    async def test_without_a_key(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A local endpoint without a key gets neither header, not even a placeholder."""
        own = await self.head(hostile, make, name, **SETTINGS, key=None, local=True)
        assert not {"authorization", "x-api-key"} & own.keys()
        assert own["x-team"] == TEAM

    async def test_stands_above_the_sdk(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A header that the SDK sends of itself, and no other."""
        own = await self.head(hostile, make, name, headers={"User-Agent": Secret("cortex/1")})
        assert own["user-agent"] == "cortex/1"
        assert own.keys() - HEADERS - OF_THE_SDK <= {"user-agent", "authorization", "anthropic-version"}

    async def test_error_hides_them(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An endpoint that quotes what it was sent: neither the error nor the log has it, nor its beginning."""
        words = f"X-Team: {TEAM}, key {OTHER_KEY} and {TEAM[:-4]}"
        simulated.behave(name, replace(GATEWAY, keys=(OTHER_KEY,), status=401, error_message=words))
        provider = make(name, simulated.url(name), **SETTINGS, key=Secret(OTHER_KEY))
        with pytest.raises(ProviderError) as caught:
            await provider.complete(call(name))
        told = caught.value.message + caplog.text
        assert "X-Team" in told
        assert TEAM[:10] not in told
        assert OTHER_KEY not in told


class TestLookingForV1:
    async def test_sends_them_too(self, hostile: HostileServer, make: MakeProvider) -> None:
        """The requests that look one level below for the API are let in by the gateway as well."""
        hostile.json("{}", "404 Not Found")
        with pytest.raises(ProviderError):
            await make("kimi_k2", f"http://127.0.0.1:{hostile.port}", **SETTINGS).complete(call("kimi_k2"))
        assert len(hostile.requests) == 3
        for request in hostile.requests:
            headers = dict(sent(request))
            assert headers["x-team"] == TEAM
            assert "x-api-key" in headers
            assert "authorization" not in headers


class TestClientsOfPrograms:
    @each
    async def test_send_them_too(self, hostile: HostileServer, name: str) -> None:
        """For threads as for one event loop: the key in its header alone, and the others."""
        hostile.json("{}")
        kind = KINDS[name]
        key = Secret(f"sk-sim-{name}-0123456789")
        settings = ProviderSettings(name, kind.api, hostile.url(name), kind.model, key=key, **SETTINGS)
        sdk = api_kind(kind.api).sdk
        module = importlib.import_module(sdk.module)
        blocking, http = blocking_client(getattr(module, sdk.blocking), settings, DIRECT, 1000)
        awaited = async_client(getattr(module, sdk.asynchronous), settings, DIRECT, 1000)
        await asyncio.to_thread(blocking.post, "/x", cast_to=object, body={})
        await awaited.post("/x", cast_to=object, body={})
        http.close()
        await awaited.close()
        for request in hostile.requests:
            headers = dict(sent(request))
            assert (headers["x-api-key"], headers["x-team"]) == (key.reveal(), TEAM)
            assert "authorization" not in headers
        assert len(hostile.requests) == 2
