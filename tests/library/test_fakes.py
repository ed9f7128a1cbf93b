"""Users' own tests: fakes in the place of the SDK classes or of a router's clients, as sloppy as fakes are."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import AsyncMock, MagicMock, Mock, patch

import pytest

from llm_router import LLMProvider, LLMRouter, ProvidersFailedError, TaskType
from tests.library.conftest import ask

CLAUDE_DICT = {
    "content": [{"type": "text", "text": "Hello"}, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}],
    "usage": {"input_tokens": 10, "output_tokens": 5},
    "stop_reason": "end_turn",
}


def claude_answer(kind: type[Mock] = Mock) -> Any:
    """As many a test writes it."""
    return kind(content=[kind(text="Hello from Claude")], usage=kind(input_tokens=100, output_tokens=50))


def kimi_answer(kind: type[Mock] = Mock) -> Any:
    return kind(
        choices=[kind(message=kind(content="Hello from Kimi"))], usage=kind(prompt_tokens=100, completion_tokens=50)
    )


def a_router(**arguments: Any) -> LLMRouter:
    return LLMRouter(claude_api_key="any", kimi_api_key="any", **arguments)


class TestClients:
    @pytest.mark.parametrize("kind", [Mock, MagicMock])
    def test_in_the_place_of_clients(self, kind: type[Mock]) -> None:
        """Mocks that set content and usage alone make a whole response; what they leave open is not believed."""
        router = a_router()
        router.claude_client, router.kimi_client = kind(), kind()
        router.claude_client.messages.create.return_value = claude_answer(kind)
        router.kimi_client.chat.completions.create.return_value = kimi_answer(kind)
        claude, kimi = router.complete(ask()), router.complete(ask(), TaskType.SYSTEM_OPERATION)
        assert (claude.content, claude.provider, claude.tokens_used) == ("Hello from Claude", LLMProvider.CLAUDE, 150)
        assert (kimi.content, kimi.provider, kimi.tokens_used) == ("Hello from Kimi", LLMProvider.KIMI_K2, 150)
        assert [claude.cost_usd, kimi.cost_usd] == pytest.approx([0.0007, 0.000295])
        assert (claude.model, claude.tool_calls, claude.finish_reason) == ("claude-sonnet-5-5", [], "stop")
        said = router.claude_client.messages.create.call_args.kwargs
        assert (said["model"], said["max_tokens"], "temperature" in said) == ("claude-sonnet-5-5", 4096, False)

    def test_a_bare_magic_mock(self) -> None:
        """Values that were set through `.content[0].text` and `.choices[0].message` are found too."""
        router = a_router()
        router.claude_client, router.kimi_client = MagicMock(), MagicMock()
        router.claude_client.messages.create.return_value.content[0].text = "Hi"
        completion = router.kimi_client.chat.completions.create.return_value
        completion.choices[0].message.content = "Ho"
        claude, kimi = router.complete(ask()), router.complete(ask(), TaskType.CONFIGURATION)
        assert (claude.content, kimi.content, claude.tokens_used, math.isnan(claude.cost_usd)) == ("Hi", "Ho", 0, True)

    @pytest.mark.parametrize("answer", [CLAUDE_DICT, SimpleNamespace(**CLAUDE_DICT)], ids=["dict", "namespace"])
    def test_dictionaries_and_namespaces(self, answer: Any) -> None:
        """Whatever has the vendor's fields will do."""
        router = a_router()
        router.claude_client = Mock()
        router.claude_client.messages.create.return_value = answer
        response = router.complete(ask())
        assert (response.content, response.tokens_used) == ("Hello", 15)
        assert response.tool_calls[0]["function"] == {"name": "f", "arguments": '{"x": 1}'}

    async def test_asynchronous(self) -> None:
        """An AsyncMock serves acomplete, and so does a mock that is not asynchronous."""
        router = a_router()
        router.claude_async_client, router.kimi_async_client = AsyncMock(), MagicMock()
        router.claude_async_client.messages.create.return_value = claude_answer()
        router.kimi_async_client.chat.completions.create.return_value = kimi_answer()
        assert (await router.acomplete(ask())).content == "Hello from Claude"
        assert (await router.acomplete(ask(), TaskType.CONFIGURATION)).content == "Hello from Kimi"

    def test_any_exception(self) -> None:
        """An exception of any kind leads on to the other provider, or comes through with fallback off."""
        router = a_router()
        router.kimi_client, router.claude_client = MagicMock(), MagicMock()
        router.kimi_client.chat.completions.create.side_effect = Exception("API error")
        router.claude_client.messages.create.return_value = claude_answer()
        assert router.complete(ask(), TaskType.SYSTEM_OPERATION).provider is LLMProvider.CLAUDE
        router.claude_client.messages.create.side_effect = KeyError("mine")
        with pytest.raises(ProvidersFailedError, match=r"claude .*KeyError, 'mine'; kimi_k2 .*Exception, API error"):
            router.complete(ask())
        router.enable_fallback = False
        with pytest.raises(KeyError, match="mine"):
            router.complete(ask())

    def test_patched_attribute(self) -> None:
        """`patch.object` on a router's client holds in its block, and the SDK's client is back afterwards."""
        router = a_router()
        real = router.claude_client
        with patch.object(router, "claude_client") as fake:
            fake.messages.create.return_value = claude_answer()
            assert router.complete(ask()).content == "Hello from Claude"
        assert router.claude_client is real
        router.close()

    @pytest.mark.parametrize("answer", [None, "text", 7, [], {}, {"content": 3}, Mock(content=None)])
    def test_what_is_no_answer(self, answer: Any) -> None:
        """What is no answer counts as a failure, not as an empty answer."""
        router = a_router(enable_fallback=True)
        router.claude_client, router.kimi_client = Mock(), None
        router.claude_client.messages.create.return_value = answer
        with pytest.raises(ProvidersFailedError, match="what is no answer"):
            router.complete(ask())


class TestClasses:
    def test_both_sdks(self) -> None:
        """Patched classes serve a router that is made inside the patch, without a connection to anybody."""
        with patch("llm_router.Anthropic") as claude, patch("llm_router.OpenAI") as kimi:
            claude.return_value.messages.create.return_value = claude_answer()
            kimi.return_value.chat.completions.create.return_value = kimi_answer()
            router = a_router()
            assert router.complete(ask()).content == "Hello from Claude"
            assert router.complete(ask(), TaskType.CODE_GENERATION).content == "Hello from Kimi"
        assert claude.call_args.kwargs["api_key"] == "any"
        router.close()

    async def test_asynchronous(self) -> None:
        """The same for the asynchronous ones."""
        with patch("llm_router.AsyncAnthropic") as claude, patch("llm_router.AsyncOpenAI") as kimi:
            claude.return_value.messages.create = AsyncMock(return_value=claude_answer())
            kimi.return_value.chat.completions.create = AsyncMock(return_value=kimi_answer())
            router = a_router()
            assert (await router.acomplete(ask())).content == "Hello from Claude"
            assert (await router.acomplete(ask(), TaskType.CODE_GENERATION)).content == "Hello from Kimi"
            await router.aclose()


@pytest.mark.usefixtures("openai_by_responses")
class TestResponses:
    """A router whose OpenAI is asked over its Responses API."""

    GIVEN: ClassVar[dict[str, Any]] = {"openai_api_key": "any", "openai_model": "gpt-5.4"}
    ASKED: ClassVar[dict[str, Any]] = {"force_provider": LLMProvider.OPENAI}

    @pytest.mark.parametrize(
        "answer",
        [
            {"output": [{"content": [{"text": "Hi"}]}], "usage": {"input_tokens": 10, "output_tokens": 2}},
            SimpleNamespace(output_text="Hi", usage=SimpleNamespace(input_tokens=10, output_tokens=2)),
            Mock(output_text="Hi", output=[], status="completed", usage=Mock(input_tokens=10, output_tokens=2)),
        ],
        ids=["dict", "namespace", "mock"],
    )
    async def test_in_the_place_of_clients(self, answer: Any) -> None:
        """What has an answer's text, however sloppily, is one, from threads and loops."""
        router = LLMRouter(**self.GIVEN)
        router.openai_client, router.openai_async_client = Mock(), AsyncMock()
        router.openai_client.responses.create.return_value = answer
        router.openai_async_client.responses.create.return_value = answer
        for response in (router.complete(ask(), **self.ASKED), await router.acomplete(ask(), **self.ASKED)):
            assert (response.content, response.tokens_used, response.finish_reason) == ("Hi", 12, "stop")
        said = router.openai_client.responses.create.call_args.kwargs
        assert (said["model"], said["input"], said["store"]) == ("gpt-5.4", ask(), False)
        assert "extra_body" not in said

    def test_a_call(self) -> None:
        """An item with arguments is one."""
        router = LLMRouter(**self.GIVEN)
        router.openai_client = Mock()
        item = {"call_id": "c", "name": "f", "arguments": '{"x": 1}'}
        router.openai_client.responses.create.return_value = {"output": [item]}
        [call] = router.complete(ask(), **self.ASKED).tool_calls
        assert (call["id"], call["function"]) == ("c", {"name": "f", "arguments": '{"x": 1}'})

    def test_events(self) -> None:
        """A list of events is a stream, also without its end."""
        events = [SimpleNamespace(type="response.output_text.delta", delta=text) for text in ("Hel", "lo")]
        router = LLMRouter(**self.GIVEN)
        router.openai_client = Mock()
        router.openai_client.responses.create.return_value = events
        assert list(router.stream(ask(), **self.ASKED)) == ["Hel", "lo"]
        assert router.openai_client.responses.create.call_args.kwargs["stream"] is True


class TestStreams:
    async def test_chunks(self) -> None:
        """A list of chunks, or an asynchronous generator of them, is a stream."""
        chunks = [
            SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=text))], usage=None)
            for text in ("Hel", "lo")
        ]
        chunks.append(SimpleNamespace(choices=[], usage=Mock(prompt_tokens=10, completion_tokens=2)))

        async def generated() -> Any:
            for chunk in chunks:
                yield chunk

        router = a_router()
        router.kimi_client, router.kimi_async_client = Mock(), MagicMock()
        router.kimi_client.chat.completions.create.return_value = chunks
        router.kimi_async_client.chat.completions.create.return_value = generated()
        stream = router.stream(ask(), TaskType.CONFIGURATION)
        assert (list(stream), stream.response and stream.response.tokens_used) == (["Hel", "lo"], 12)
        assert [piece async for piece in router.astream(ask(), TaskType.CONFIGURATION)] == ["Hel", "lo"]
        assert router.get_stats()["providers"]["kimi_k2"]["tokens"] == 24
