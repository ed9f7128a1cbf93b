"""Asking an endpoint which models it has, with real SDKs over real HTTP."""

from __future__ import annotations

import json

import pytest

from cortexd.config.settings import Secret
from cortexd.domain.served import MOST_BYTES, ServedModel
from cortexd.errors import Failure, ProviderError
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider

both = pytest.mark.parametrize("name", ["claude", "kimi_k2"])
PATHS = {"claude": b"GET /v1/models?limit=1000 ", "kimi_k2": b"GET /v1/models "}


def listed(*rows: object) -> str:
    return json.dumps({"data": rows})


@both
class TestModels:
    async def test_what_an_endpoint_lists(self, name: str, make: MakeProvider, simulated: SimulatedProviders) -> None:
        """The models of each API kind, in their order; it counts as no request to a model."""
        simulated.behave(name, Behaviour(models=("a", "org/b:4b")))
        found = await make(name, simulated.url(name)).models()
        assert [model.id for model in found] == ["a", "org/b:4b"]
        assert simulated.counts(name).requests == 0

    async def test_key_and_headers(self, name: str, make: MakeProvider, hostile: HostileServer) -> None:
        """It is asked for as requests are: with the key, the operator's headers and no compression."""
        hostile.json(listed({"id": "m", "max_model_len": 7}))
        asked = make(name, hostile.url(name), headers={"X-Team": Secret("blue")})
        assert await asked.models() == (ServedModel("m", 7),)
        [request] = hostile.requests
        said = request.lower()
        assert request.startswith(PATHS[name])
        assert b"\r\nx-team: blue\r\n" in said
        assert b"sk-sim-" in said
        assert b"\r\naccept-encoding: identity\r\n" in said

    async def test_a_body_without_end(self, name: str, make: MakeProvider, hostile: HostileServer) -> None:
        """It is read to a bound and no further, and nothing but ProviderError comes of it."""
        hostile.reply, hostile.endless = b"HTTP/1.1 200 OK\r\n\r\n", b'{"id": "m"},' * 1000
        with pytest.raises(ProviderError) as failed:
            await make(name, hostile.url(name)).models()
        assert failed.value.failure is Failure.MALFORMED
        assert hostile.sent < 20 * MOST_BYTES

    @pytest.mark.parametrize(
        ("status", "text", "failure"),
        [
            ("200 OK", "<html>hello</html>", Failure.MALFORMED),
            ("200 OK", '{"data": 3}', Failure.MALFORMED),
            ("401 Unauthorized", '{"error": "no"}', Failure.AUTHENTICATION),
            ("404 Not Found", "", Failure.REFUSED),
            ("503 Service Unavailable", '{"error": {"message": "Loading model"}}', Failure.OVERLOADED),
        ],
    )
    async def test_no_list(
        self, name: str, status: str, text: str, failure: Failure, make: MakeProvider, hostile: HostileServer
    ) -> None:
        """Every other answer is a failure as it is of a request."""
        hostile.json(text, status)
        with pytest.raises(ProviderError) as failed:
            await make(name, hostile.url(name)).models()
        assert failed.value.failure is failure

    async def test_nobody_there(self, name: str, make: MakeProvider) -> None:
        """A refused connection is told at once."""
        with pytest.raises(ProviderError) as failed:
            await make(name, "http://127.0.0.1:1").models()
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.CONNECTION, False)

    async def test_closed(self, name: str, make: MakeProvider, simulated: SimulatedProviders) -> None:
        """A provider that a reload has closed asks nobody."""
        asked = make(name, simulated.url(name))
        await asked.models()
        await asked.aclose()
        with pytest.raises(ProviderError) as failed:
            await asked.models()
        assert failed.value.failure is Failure.CONNECTION
