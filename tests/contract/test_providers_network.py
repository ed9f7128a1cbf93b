"""How requests leave the machine: only as the configuration says, whatever the environment holds."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cortexd.config.settings import NetworkSettings
from cortexd.errors import Failure, ProviderError
from cortexd.providers import Provider
from simulated import SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


async def failure_of(provider: Provider, name: str) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await provider.complete(call(name))
    return failed.value


class TestEnvironment:
    @each
    async def test_proxy_variables_are_ignored(
        self,
        simulated: SimulatedProviders,
        hostile: HostileServer,
        make: MakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        """With every proxy variable set to a trap, requests go straight to the provider and the trap sees nothing."""
        for variable in PROXY_VARIABLES:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{hostile.port}")
        monkeypatch.setenv("NO_PROXY", "")
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert answer.content
        assert hostile.requests == []

    @each
    async def test_no_proxy_variable_is_ignored(
        self, hostile: HostileServer, make: MakeProvider, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """NO_PROXY of the environment does not lead past the proxy that the configuration demands."""
        monkeypatch.setenv("NO_PROXY", "*")
        hostile.json(json.dumps(KINDS[name].whole("hi")))
        network = NetworkSettings(proxy=f"http://127.0.0.1:{hostile.port}")
        await make(name, "http://provider.invalid/v1", network).complete(call(name))
        assert len(hostile.requests) == 1

    @each
    async def test_sdk_variables_are_ignored(
        self,
        simulated: SimulatedProviders,
        hostile: HostileServer,
        make: MakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        """Base URLs, keys, organisations, headers and log levels in the environment change nothing of a request."""
        for vendor in ("ANTHROPIC", "OPENAI"):
            monkeypatch.setenv(f"{vendor}_BASE_URL", f"http://127.0.0.1:{hostile.port}")
            monkeypatch.setenv(f"{vendor}_API_KEY", "sk-stray")
            monkeypatch.setenv(f"{vendor}_CUSTOM_HEADERS", "X-Stray: stray\nAuthorization: Bearer sk-stray")
            monkeypatch.setenv(f"{vendor}_LOG", "debug")
        for variable in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.setenv(variable, "stray")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-stray")
        await make(name, simulated.url(name)).complete(call(name))
        (received,) = simulated.received(name)
        assert "stray" not in str(received.headers)
        assert f"sk-sim-{name}-0123456789" in str(received.headers)
        assert hostile.requests == []


class TestProxy:
    @each
    async def test_the_configured_proxy_is_used(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A configured proxy gets the request, with its own credentials."""
        hostile.json(json.dumps(KINDS[name].whole("hi")))
        network = NetworkSettings(proxy=f"http://me:pass@127.0.0.1:{hostile.port}")
        answer = await make(name, "http://provider.invalid/v1", network).complete(call(name))
        assert answer.content == "hi"
        assert hostile.requests[0].startswith(b"POST http://provider.invalid/v1/")
        assert b"Proxy-Authorization: Basic" in hostile.requests[0]

    @each
    @pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "127.0.0.0/8", "example.com"])
    async def test_no_proxy(
        self, simulated: SimulatedProviders, hostile: HostileServer, make: MakeProvider, name: str, no_proxy: str
    ) -> None:
        """Hosts in no_proxy are reached directly, others are not."""
        network = NetworkSettings(proxy=f"http://127.0.0.1:{hostile.port}", no_proxy=(no_proxy,))
        hostile.json(json.dumps(KINDS[name].whole("hi")))
        await make(name, simulated.url(name), network).complete(call(name))
        assert len(hostile.requests) == (1 if no_proxy == "example.com" else 0)

    @each
    async def test_local_endpoints_never_use_it(
        self, simulated: SimulatedProviders, hostile: HostileServer, make: MakeProvider, name: str
    ) -> None:
        """A local endpoint is reached directly, and without a key of anybody's."""
        network = NetworkSettings(proxy=f"http://127.0.0.1:{hostile.port}")
        error = await failure_of(make(name, simulated.url(name), network, local=True, key=None), name)
        assert error.failure is Failure.AUTHENTICATION  # the simulated provider wants a key, which was not sent
        assert hostile.requests == []
        assert simulated.counts(name).requests == 1

    @each
    async def test_a_proxy_that_refuses(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A proxy that refuses the tunnel is a connection failure: nothing was sent; its password is not shown."""
        hostile.json("", "407 Proxy Authentication Required")
        network = NetworkSettings(proxy=f"http://me:hunter2@127.0.0.1:{hostile.port}")
        error = await failure_of(make(name, "https://provider.invalid", network), name)
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)
        assert hostile.requests[0].startswith(b"CONNECT provider.invalid:443")
        assert "hunter2" not in str(error)

    @each
    async def test_a_proxy_that_is_not_there(self, make: MakeProvider, name: str) -> None:
        """An unreachable proxy is a connection failure: nothing was sent."""
        network = NetworkSettings(proxy="http://me:hunter2@127.0.0.1:1")
        error = await failure_of(make(name, "https://provider.invalid", network), name)
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)
        assert "hunter2" not in str(error)

    @each
    async def test_a_proxy_of_an_unknown_kind(self, make: MakeProvider, name: str) -> None:
        """A proxy URL that cannot be used is an error of the attempt, not a crash."""
        error = await failure_of(make(name, "https://x.invalid", NetworkSettings(proxy="gopher://x")), name)
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    key = path.with_name("key.pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)]
    subprocess.run([openssl, *words.split(), *more], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[HostileServer]:
    """A server that speaks TLS with the self-signed certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    state = HostileServer()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0, ssl=context)
    state.port = server.sockets[0].getsockname()[1]
    yield state
    server.close()


class TestCertificates:
    @each
    async def test_an_unknown_authority(
        self,
        secure: HostileServer,
        certificate: Path,
        make: MakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        """A certificate of an unknown authority is refused before anything is sent, even if SSL_CERT_FILE names it."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        error = await failure_of(make(name, f"https://127.0.0.1:{secure.port}"), name)
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)
        assert "certificate" in error.message.lower()
        assert secure.requests == []

    @each
    async def test_the_configured_authority(
        self, secure: HostileServer, certificate: Path, make: MakeProvider, name: str
    ) -> None:
        """With ca_file the same server is trusted."""
        secure.json(json.dumps(KINDS[name].whole("hi")))
        network = NetworkSettings(ca_file=certificate)
        answer = await make(name, f"https://127.0.0.1:{secure.port}", network).complete(call(name))
        assert answer.content == "hi"

    @each
    async def test_a_missing_authority_file(self, make: MakeProvider, tmp_path: Path, name: str) -> None:
        """A ca_file that cannot be read is an error of the attempt, and the next attempt tries again."""
        network = NetworkSettings(ca_file=tmp_path / "none.pem")
        provider = make(name, "https://127.0.0.1:1", network)
        for _ in range(2):
            error = await failure_of(provider, name)
            assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)
            assert "cannot be set up" in error.message
