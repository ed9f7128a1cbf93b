"""Secrets in requests, through the daemon: what the simulated cloud got, and what came back to the caller."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from simulated import Behaviour, Fault
from tests.secrets_made import MAKERS, Made, pem, with_secrets, without_secrets
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import MANAGER, Json, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of

PRELOAD = "[daemon]\npreload_sdks = true\n[cache]\nenabled = true\n"
CONFIG = f'{PRELOAD}[privacy]\nsecrets = "redact"\n'
WARN, LOCAL = (CONFIG.replace("redact", word) for word in ("warn", "local"))
WRITE = {"name": "write", "parameters": '{"type": "object", "properties": {"text": {"type": "string"}}}'}
PLACEHOLDER = "P" * 23
TOKEN = MAKERS["github_token"](Random(5)).secret
KEY = pem(Random(5), "OPENSSH PRIVATE KEY")
each_provider = pytest.mark.parametrize("provider", EVERYBODY)


def logs(shared: Shared, *names: str) -> str:
    """All that these providers were sent: the JSON text, and every string in it as it reads."""
    bodies = [request.body for name in names or EVERYBODY for request in shared.simulated.received(name)]
    return "\n".join([*bodies, *(text for body in bodies for text in strings(json.loads(body)))])


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings(item)]


def said_last(shared: Shared, provider: str) -> str:
    """The user's last text, as the provider got it."""
    content = json.loads(shared.simulated.received(provider)[-1].body)["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def echoed(made: Made) -> str:
    """What the simulated echo, of 200 characters of what it gets, reads restored."""
    return made.text.replace(made.secret, PLACEHOLDER)[:200].replace(PLACEHOLDER, made.secret)


def office(shared: Shared, **behaviour: object) -> str:
    """A model of the machine's own, beside the cloud."""
    shared.simulated.reset("office")
    shared.behave("office", Behaviour(keys=("none",), **behaviour))  # type: ignore[arg-type]
    url = shared.simulated.url("office")
    return f'[providers.office]\napi = "openai"\nbase_url = "{url}"\nmodel = "llama-9"\nlocal = true\n'


async def told(program: Program, prompt: str | list[Json], **options: object) -> tuple[str, Json]:
    """A stream's text and metadata."""
    events = await (await Stream.open(program, "user_chat", prompt, **options)).read()  # type: ignore[arg-type]
    assert events[-1]["type"] == "done", events[-1]
    return text_of(events), events[-1]["metadata"]


class TestRedact:
    async def test_five_hundred_requests(self, shared: Shared, program: Program) -> None:
        """Half of them hold a secret, of every kind: none reaches either cloud, and each echo is what was sent,
        streamed in the smallest pieces or not. The others go out as they are."""
        made, plain = with_secrets(11, 250), without_secrets(11, 250)
        for provider in EVERYBODY:
            shared.behave(provider, Behaviour(chunks=400))
        turns = asyncio.Semaphore(50)  # the bus takes 128 calls of one connection

        async def echo(number: int, text: str) -> tuple[str, Json]:
            async with turns:
                provider = EVERYBODY[number // 2 % len(EVERYBODY)]
                if number % 2:
                    return await told(program, text, provider=provider)
                reply = await program.complete("user_chat", text, provider=provider)
                return reply.content, reply.metadata

        texts = [*(item.text for item in made), *plain]
        echoes = await asyncio.gather(*(echo(number, text) for number, text in enumerate(texts)))
        seen = logs(shared)
        assert sorted(shared.requests().values()) == [250, 250]
        assert [item.kind for item in made if item.secret in seen] == []
        assert {item.kind for item in made} == set(MAKERS)
        for item, (content, metadata) in zip(made, echoes, strict=False):
            assert content.endswith(f"You said: {echoed(item)}"), item.kind
            assert metadata["secrets_found"] == {item.kind: 1}
        for text, (content, metadata) in zip(plain, echoes[250:], strict=True):
            assert (content.endswith(f"You said: {text[:200]}"), metadata["secrets_found"]) == (True, {})

    @each_provider
    async def test_tools(self, shared: Shared, program: Program, provider: str) -> None:
        """Calls, results and descriptions go out redacted; in the arguments of a call the secret is JSON again."""
        turns: list[Json] = [
            {"role": "user", "content": f"store {KEY}"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "name": "write", "arguments": json.dumps({"text": KEY, "password": 'qu"ote\\d9'})}]},
            {"role": "tool", "tool_call_id": "c1", "content": f"done with {TOKEN}"},
            {"role": "user", "content": "again"},
        ]  # fmt: skip
        tool = {**WRITE, "description": f"Writes, for whoever has {TOKEN}"}
        await program.complete("user_chat", turns, provider=provider, tools=[tool])
        seen = logs(shared)
        assert all(secret not in seen for secret in (KEY, KEY.splitlines()[1], TOKEN, 'qu"ote\\d9', "ote\\\\d9"))
        sent = seen[seen.index("store SECRET_") + 6 :][:23]
        assert seen.count(sent) >= 2  # in the call as in the text
        session = {"provider": provider, "tools": [tool], "session": f"tools-{provider}"}
        shared.simulated.reset(provider)
        await program.complete("user_chat", turns, **session)
        seen = logs(shared, provider)
        sent = seen[seen.index("store SECRET_") + 6 :][:23]
        shared.behave(
            provider, Behaviour(tool_calls=(("write", json.dumps({"text": f"<{sent}>"})),), reply=f"so: {sent}")
        )
        reply = await program.complete("user_chat", turns, **session)
        events = await (await Stream.open(program, "user_chat", turns, **session)).read()  # type: ignore[arg-type]
        calls = [*reply.metadata["tool_calls"], *events[-1]["metadata"]["tool_calls"]]
        calls += [event for event in events if event["type"] == "tool_call"]
        assert len(calls) == 3
        assert [json.loads(call["arguments"]) for call in calls] == [{"text": f"<{KEY}>"}] * 3
        assert (reply.content, text_of(events)) == (f"so: {KEY}",) * 2

    @each_provider
    async def test_every_kind_in_one(self, shared: Shared, program: Program, provider: str) -> None:
        """All that the cloud got, said again as text and as a tool's argument, is the prompt byte for byte, streamed in
        whatever pieces."""
        made = [make(Random(7)) for make in MAKERS.values()]
        prompt = "\n\n".join(item.text for item in made)
        session = {"provider": provider, "session": f"every-{provider}", "tools": [WRITE]}
        await program.complete("user_chat", prompt, **session)
        seen = logs(shared, provider)
        assert [item.kind for item in made if item.secret in seen] == []
        sent = said_last(shared, provider)
        for chunks in (None, 3, 50, len(sent)):
            calls = (("write", json.dumps({"text": sent})),)
            shared.behave(provider, Behaviour(reply=sent, tool_calls=calls, chunks=chunks))
            reply = await program.complete("user_chat", prompt, **session)
            text, metadata = await told(program, prompt, **session)
            for content, said in ((reply.content, reply.metadata), (text, metadata)):
                assert content == prompt
                assert [json.loads(call["arguments"]) for call in said["tool_calls"]] == [{"text": prompt}]

    @each_provider
    async def test_a_placeholder_in_pieces(self, shared: Shared, program: Program, provider: str) -> None:
        """However the stream cuts it; half a one at the end stays what it is, and so does another's."""
        session = {"provider": provider, "session": f"pieces-{provider}"}
        await program.complete("user_chat", f"use {TOKEN}", **session)
        seen = logs(shared, provider)
        sent = seen[seen.index("SECRET_") :][:23]
        other = f"SECRET_{'0' * 16}"
        reply = f"{sent}{sent} and {sent[:-1]} S SECRET SECRET_ {other} {sent}{sent[:12]}"
        for chunks in (1, 7, len(reply)):
            shared.behave(provider, Behaviour(reply=reply, chunks=chunks))
            text, metadata = await told(program, f"use {TOKEN}", **session)
            assert text == reply.replace(sent, TOKEN), chunks
            assert metadata["secrets_found"] == {"github_token": 1}

    async def test_a_local_model_gets_it_all(self, shared: Shared, program: Program) -> None:
        """Each attempt by itself: the cloud a placeholder, the machine's own model the secret, whoever fails first."""
        prompt = f"use {TOKEN}"
        for first, second in (("office", "claude"), ("claude", "office")):
            shared.recover()
            shared.reload(CONFIG + office(shared) + f'[routing.table]\nuser_chat = ["{first}", "{second}"]\n')
            shared.behave(first, Behaviour(keys=("none",) if first == "office" else None, status=500))
            reply = await program.complete("user_chat", prompt)
            assert [name for name, _ in reply.attempts] == [first, second]
            assert reply.content.endswith(f"You said: {prompt}")
            assert (TOKEN in logs(shared, "office"), TOKEN in logs(shared, "claude")) == (True, False)
        shared.reload(CONFIG)

    async def test_given_again(self, shared: Shared, program: Program) -> None:
        """A repeated id and an equal question get the restored answer; another secret is another question."""
        prompt, other = f"use {TOKEN}", f"use {TOKEN[:-1]}{'a' if TOKEN[-1] != 'a' else 'b'}"
        for options in ({"request_id": "secret-1"}, {"cache": True}):
            first = await program.complete("user_chat", prompt, **options)
            again = await program.complete("user_chat", prompt, **options)
            streamed, metadata = await told(program, prompt, **options)
            assert first.content.endswith(f"You said: {prompt}")
            assert again.content == streamed == first.content
            assert again.metadata["secrets_found"] == metadata["secrets_found"] == {"github_token": 1}
        assert (await program.complete("user_chat", other, cache=True)).content.endswith(f"You said: {other}")
        assert shared.requests()["claude"] == 3

    async def test_nothing_is_kept(self, shared: Shared, program: Program) -> None:
        """A failure quotes a placeholder; the secret is in no error, log or ledger."""
        shared.behave("claude", Behaviour(status=400, error_message=f"no {TOKEN[:2]}"))
        with refused("ProviderFailed") as text:
            await program.complete("user_chat", f"use {TOKEN}", provider="claude", request_id="kept", labels={"a": "b"})
        assert TOKEN not in text[0]
        daemon = shared.daemon
        assert TOKEN not in daemon.log()
        files = daemon.ledger_file.parent.glob(f"{daemon.ledger_file.name}*")
        assert not any(TOKEN.encode() in file.read_bytes() for file in files)

    async def test_a_broken_stream(self, shared: Shared, program: Program) -> None:
        """What was held back is told before the next one begins, and the next one's placeholders are restored."""
        shared.behave("claude", Behaviour(fault=Fault.RESET_MID_BODY, cut_after=20, reply="SECRET_" * 40, chunks=40))
        events = await (await Stream.open(program, "user_chat", f"use {TOKEN}")).read()
        [fallback] = [number for number, event in enumerate(events) if event["type"] == "fallback"]
        broken = "".join(event["text"] for event in events[:fallback])
        assert broken == "SECRET_" * (len(broken) // 7) != ""
        assert text_of(events).endswith(f"You said: use {TOKEN}")
        assert TOKEN not in logs(shared)


class TestWarn:
    async def test_it_is_counted(self, shared: Shared, program: Program) -> None:
        """The text goes out as it is, and the metadata tell how many of which kind; a call may have it stricter."""
        shared.reload(WARN)
        try:
            reply = await program.complete("user_chat", f"{TOKEN} {TOKEN} password=Xyz12345")
            assert reply.metadata["secrets_found"] == {"github_token": 1, "password": 1}
            assert TOKEN in logs(shared)
            shared.simulated.reset("claude")
            await program.complete("user_chat", f"{TOKEN}", secrets="redact")
            await program.complete("user_chat", f"{TOKEN}", secrets="off")
            assert sorted(TOKEN in strings(json.loads(request.body)) or TOKEN in request.body
                          for request in shared.simulated.received("claude")) == [False, True]  # fmt: skip
        finally:
            shared.reload(CONFIG)

    async def test_a_users_own(self, shared: Shared, program: Program) -> None:
        """A preference holds for all of a user's requests, where it is the stricter one."""
        shared.reload(WARN)
        try:
            await program.call(MANAGER, "SetPreferences", "a{sv}", dictionary({"secrets": "redact"}))
            assert await program.call(MANAGER, "GetPreferences") == [{"secrets": "redact"}]
            await program.complete("user_chat", TOKEN)
            assert TOKEN not in logs(shared)
            await program.call(MANAGER, "SetPreferences", "a{sv}", dictionary({"secrets": "off"}))
            assert (await program.complete("user_chat", TOKEN)).metadata["secrets_found"] == {"github_token": 1}
        finally:
            await program.call(MANAGER, "SetPreferences", "a{sv}", {})
            shared.reload(CONFIG)

    async def test_off_looks_for_nothing(self, shared: Shared, program: Program) -> None:
        """Without the setting there is no count; an option that weakens the operator's is no way round."""
        shared.reload(PRELOAD)
        try:
            reply = await program.complete("user_chat", TOKEN)
            assert "secrets_found" not in reply.metadata
        finally:
            shared.reload(CONFIG)
        shared.simulated.reset("claude")
        await program.complete("user_chat", TOKEN, secrets="off")
        assert TOKEN not in logs(shared, "claude")


class TestLocal:
    async def test_without_a_local_model(self, shared: Shared, program: Program) -> None:
        """NoProviderAvailable names the kinds and what to do; nothing is sent, and nothing says the secret."""
        for options in ({}, {"provider": "kimi_k2"}):
            with refused("NoProviderAvailable") as text:
                await program.complete("user_chat", f"use {TOKEN}", secrets="local", **options)
            assert "github_token" in text[0]
            assert "local = true" in text[0]
            assert TOKEN not in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    async def test_the_request_and_then_its_session(self, shared: Shared, program: Program) -> None:
        """Only the local model has them; other sessions, and a dry run, pin nothing."""
        shared.reload(LOCAL + office(shared))
        try:
            decision = await program.route("user_chat", f"use {TOKEN}", session="dry")
            assert (decision["provider"], decision["secrets_found"]) == ("office", {"github_token": 1})
            before = await program.complete("user_chat", "hello", session="pinned")
            secret = await program.complete("user_chat", f"use {TOKEN}", session="pinned")
            after = await program.complete("user_chat", "and now?", session="pinned")
            others = [await program.complete("user_chat", "and now?", session=name) for name in ("dry", "other")]
            assert [reply.metadata["provider"] for reply in (before, secret, after)] == ["claude", "office", "office"]
            assert [reply.metadata["provider"] for reply in others] == ["claude", "claude"]
            assert secret.content.endswith(f"You said: use {TOKEN}")
            assert TOKEN not in logs(shared)
            with refused("NoProviderAvailable") as text:
                await program.complete("user_chat", "and now?", session="pinned", provider="claude")
            assert "Name no provider" in text[0]
        finally:
            shared.reload(CONFIG)
