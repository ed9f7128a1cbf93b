"""The SDKs are loaded late, once, off the event loop, and a failure to load them is an ordinary error."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from cortexd.errors import ProviderError
from cortexd.providers import preload
from simulated import SimulatedProviders
from tests.contract.conftest import MakeProvider, call


def run(script: str, *arguments: str) -> str:
    """What `script` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestImports:
    def test_nothing_is_imported_before_it_is_needed(self) -> None:
        """Importing the room and making providers loads neither an SDK nor the HTTP libraries under them."""
        assert run(
            """
            import sys
            from cortexd.config.settings import NetworkSettings, ProviderSettings
            from cortexd.providers import make_provider
            for api in ("anthropic", "openai"):
                settings = ProviderSettings("p", api, "http://127.0.0.1:1", "m")
                make_provider(settings, NetworkSettings(), max_answer_bytes=1)
            print({"anthropic", "openai", "httpx2", "aiohttp", "pydantic"} & set(sys.modules))
            """
        ) == str(set())

    def test_the_loop_runs_on_during_the_import(self) -> None:
        """While an SDK is imported, other tasks keep running, and a second waiter gets the same import."""
        out = run(
            """
            import asyncio, sys
            from cortexd.providers import preload
            async def main():
                turns = 0
                waiters = asyncio.gather(preload(["anthropic"]), preload(["anthropic", "openai"]))
                while not waiters.done():
                    await asyncio.sleep(0.001)
                    turns += 1
                await waiters
                print(turns > 20, "anthropic" in sys.modules and "openai" in sys.modules)
            asyncio.run(main())
            """
        )
        assert out == "True True"

    def test_nothing_collects_what_is_imported(self) -> None:
        """What an SDK brings is looked through by no collection; what comes after it is, as before."""
        out = run(
            """
            import asyncio, gc
            from cortexd.providers import preload
            asyncio.run(preload(["openai"]))
            left = len(gc.get_objects())
            print(gc.isenabled(), gc.get_freeze_count() > 10 * left)
            """
        )
        assert out == "True True"

    def test_a_failed_import_is_an_error(self) -> None:
        """Without the SDK every waiting attempt gets a connection failure that billed nothing, and preload raises."""
        out = run(
            """
            import asyncio, sys
            sys.modules["openai"] = None
            from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
            from cortexd.errors import ProviderError
            from cortexd.domain.messages import Call, Message, Role
            from cortexd.providers import make_provider, preload
            async def main():
                settings = ProviderSettings("p", "openai", "http://127.0.0.1:1", "m", key=Secret("k"))
                provider = make_provider(settings, NetworkSettings(), max_answer_bytes=1)
                call = Call("m", (Message(Role.USER, "x"),), 30.0)
                ends = await asyncio.gather(*(provider.complete(call) for _ in range(3)), return_exceptions=True)
                print({(type(end).__name__, end.failure.value, end.may_have_billed) for end in ends})
                try:
                    await preload(["openai"])
                except ImportError:
                    print("ImportError")
                await provider.aclose()
            asyncio.run(main())
            """
        )
        assert out == "{('ProviderError', 'connection', False)}\nImportError"

    def test_a_deadline_holds_during_the_import(self) -> None:
        """A call whose deadline passes while the SDK is still loading times out and billed nothing."""
        out = run(
            """
            import asyncio
            from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
            from cortexd.errors import ProviderError
            from cortexd.domain.messages import Call, Message, Role
            from cortexd.providers import make_provider
            async def main():
                settings = ProviderSettings("p", "openai", "http://127.0.0.1:1", "m", key=Secret("k"))
                provider = make_provider(settings, NetworkSettings(), max_answer_bytes=1)
                try:
                    await provider.complete(Call("m", (Message(Role.USER, "x"),), 0.01))
                except ProviderError as error:
                    print(error.failure.value, error.may_have_billed)
                await provider.aclose()
            asyncio.run(main())
            """
        )
        assert out == "timeout False"

    def test_debug_variables_log_no_prompt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the SDKs' debug variables set from the start, neither prompt nor key reaches the log."""
        monkeypatch.setenv("ANTHROPIC_LOG", "debug")
        monkeypatch.setenv("OPENAI_LOG", "debug")
        out = run(
            """
            import asyncio, logging, sys
            from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
            from cortexd.errors import ProviderError
            from cortexd.domain.messages import Call, Message, Role
            from cortexd.providers import make_provider
            logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, force=True)
            async def main():
                for api in ("anthropic", "openai"):
                    settings = ProviderSettings("p", api, "http://127.0.0.1:1", "m", key=Secret("sk-hidden"))
                    provider = make_provider(settings, NetworkSettings(), max_answer_bytes=1)
                    try:
                        await provider.complete(Call("m", (Message(Role.USER, "private words"),), 30.0))
                    except ProviderError as error:
                        logging.warning("failed: %s", error.failure)
                    await provider.aclose()
            asyncio.run(main())
            """
        )
        assert out.count("root:failed: connection") == 2
        assert "private words" not in out
        assert "sk-hidden" not in out


class TestSharing:
    async def test_many_first_users(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """Fifty first attempts at once share one client; one that is cancelled takes nobody with it."""
        provider = make("claude", simulated.url("claude"), max_connections=3)
        attempts = [asyncio.create_task(provider.complete(call("claude"))) for _ in range(50)]
        await asyncio.sleep(0)
        attempts[0].cancel()
        ends = await asyncio.gather(*attempts, return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        assert not any(isinstance(end, BaseException) for end in ends[1:])
        assert simulated.counts("claude").max_concurrent <= 3

    async def test_preload_twice(self) -> None:
        """Preloading what is loaded does nothing."""
        await preload(["anthropic", "openai"])
        await preload(["anthropic", "openai"])
        assert {"anthropic", "openai"} <= set(sys.modules)

    async def test_closing_before_use(self, make: MakeProvider) -> None:
        """A provider that was never used closes, and then refuses to be used."""
        provider = make("claude", "http://127.0.0.1:1")
        await provider.aclose()
        with pytest.raises(ProviderError, match="the provider is closed"):
            await provider.complete(call("claude"))

    @pytest.mark.parametrize("name", ["claude", "kimi_k2"])
    async def test_closing_twice(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Closing a second time does nothing."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        await provider.aclose()
        await provider.aclose()
        assert simulated.counts(name).answered == 1
