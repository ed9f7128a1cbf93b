"""Secrets replaced and put back: the same placeholder for the same secret, everywhere, and byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from random import Random
from typing import Any, TypeVar

import pytest

from cortexd.domain.messages import Answer, Message, Role, Secrets, TextPart, Tool, ToolCall, stricter
from cortexd.errors import Failure, NoProviderAvailable, ProviderError
from cortexd.privacy import Disguise, Findings, Guard, Restorer, TooManySecrets, look_through, put_on
from cortexd.privacy.disguise import MOST_WORK, placeholder
from cortexd.privacy.findings import WINDOW
from cortexd.privacy.texts import Content, texts_of
from cortexd.requests.inspection import Inspection
from cortexd.requests.restored import Restoring
from cortexd.routing import Health, Sessions, plan_route
from tests.secrets_made import MAKERS, with_secrets
from tests.unit.routes import OFFICE, catalog_of, config, question

T = TypeVar("T")
KEY = b"k" * 32
MADE = with_secrets(3, len(MAKERS))


def end_of(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def disguised(content: Content, key: bytes = KEY) -> Disguise:
    findings = Findings()
    end_of(look_through(texts_of(content), findings))
    return end_of(put_on(content, findings, key))


def said(text: str) -> Content:
    return Content((Message(Role.USER, text),))


def pieces(text: str, random: Random) -> list[str]:
    """`text`, cut anywhere."""
    cuts = sorted(random.choices(range(len(text) + 1), k=random.randrange(1, 40)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


class TestDisguise:
    def test_it_is_undone(self) -> None:
        """Of every kind at once: no secret is left, and what is put back is what was there, also inside JSON."""
        text = "\n".join(made.text for made in MADE)
        arguments = json.dumps({"a": text, "b": [made.secret for made in MADE]})
        call = ToolCall("1", "write", arguments)
        content = Content(
            (
                Message(Role.USER, (TextPart(text), TextPart("and more"))),
                Message(Role.ASSISTANT, "", (call,), reasoning=f"hm, {MADE[0].secret}"),
            ),
            (Tool("t", text, json.dumps({"type": "object", "description": text})),),
            json.dumps({"type": "object", "description": text}),
        )
        made = disguised(content)
        sent = [*texts_of(Content(made.messages, made.tools, made.response_schema)).plain]
        in_json = [*texts_of(Content(made.messages, made.tools, made.response_schema)).json]
        seen = "\n".join([*sent, *in_json, *(str(json.loads(each)) for each in in_json)])
        assert [item.kind for item in MADE if item.secret in seen] == []
        whole, escaped = Restorer(made.secrets), Restorer(made.secrets, in_json=True)
        assert [whole.whole(each) for each in sent] == list(texts_of(content).plain)
        assert [json.loads(escaped.whole(each)) for each in in_json] == [
            json.loads(each) for each in texts_of(content).json
        ]

    def test_the_same_for_the_same(self) -> None:
        """Wherever a secret stands, also where no rule would find it; another key gives another placeholder."""
        content = said("password=Xyz12345, and the word is Xyz12345; token=Xyz12345")
        made = disguised(content)
        [(name, secret)] = made.secrets.items()
        assert secret == "Xyz12345"
        assert made.messages[0].content == f"password={name}, and the word is {name}; token={name}"
        assert disguised(content).secrets == made.secrets
        assert disguised(content, b"other").secrets.keys() != made.secrets.keys()

    def test_one_in_another(self) -> None:
        """The longer one goes first, and a secret that could stand in a placeholder changes none."""
        text = "password='SECRET_ab' password=abcdef password=abcdef012345 password=0123456789"
        made = disguised(said(text))
        assert len(made.secrets) == 4
        assert Restorer(made.secrets).whole(made.messages[0].text()) == text

    def test_too_many(self) -> None:
        """Where replacing would hold up everybody it says so."""
        findings = Findings({f"{number:08}": "password" for number in range(2048)})
        with pytest.raises(TooManySecrets):
            end_of(put_on(said("x" * (MOST_WORK // 2048 + 1)), findings, KEY))

    def test_it_shows_nothing(self) -> None:
        """Not by being printed, as in a log."""
        made = disguised(said(MADE[0].text))
        assert MADE[0].secret not in repr((made, Guard({}, disguise=made), Findings({MADE[0].secret: "x"})))


class TestRestorer:
    def test_however_it_is_cut(self) -> None:
        """Pieces put back together are the whole put back; at most a placeholder less one is ever held."""
        random = Random(1)
        secrets = {placeholder(made.secret, KEY): made.secret for made in MADE}
        words = [*secrets, "SECRET_", "S", "SECRET_0123456789abcdef", "said", "\n", "ü", "SECRET_SECRET_"]
        for _ in range(300):
            text = "".join(random.choices(words, k=12)) + next(iter(secrets))[: random.randrange(23)]
            restorer, out = Restorer(secrets), []
            for piece in pieces(text, random):
                out.append(restorer.take(piece))
                assert len(restorer._held) < 23  # the bound that its docstring states
            assert "".join(out) + restorer.rest() == Restorer(secrets).whole(text)

    def test_what_begins_none_is_not_held(self) -> None:
        """A text that cannot become a placeholder of this request goes on at once."""
        restorer = Restorer({placeholder("a", KEY): "a"})
        assert restorer.take("SECRET_zz") == "SECRET_zz"
        assert restorer.take("it is S") == "it is "
        assert restorer.rest() == "S"


class TestRestoring:
    async def test_an_answer_that_grows_too_long(self) -> None:
        """A short placeholder for a long secret is no way to fill the memory."""
        made = disguised(said(MAKERS["private_key"](Random(1)).text))
        [name] = made.secrets
        heard: list[object] = []

        async def hear(deltas: object) -> None:
            heard.append(deltas)

        restoring = Restoring(made, hear, 1000)
        assert restoring.hear is not None
        with pytest.raises(ProviderError) as caught:
            await restoring.hear([name] * 5)
        assert caught.value.failure is Failure.MALFORMED
        with pytest.raises(ProviderError):
            restoring.answer(Answer(name * 5, "m", None))


class TestInspection:
    async def test_the_stricter_one_holds(self) -> None:
        """The operator's or the caller's."""
        for own in Secrets:
            for wanted in Secrets:
                asked = question(content=MADE[5].text, secrets=wanted.value)
                guard = (await Inspection(Sessions()).guarded(1, asked, own)).guard
                policy = stricter(own, wanted)
                assert (guard.found is None) is (policy is Secrets.OFF)
                assert (guard.disguise is not None) is (policy is Secrets.REDACT)
                assert bool(guard.pinned) is (policy is Secrets.LOCAL)

    async def test_users_take_turns(self) -> None:
        """At long texts, one at a time: another user's is next, however many of one user wait; short ones pass all."""
        inspection, ended = Inspection(Sessions()), list[str]()

        async def look(uid: int, content: str) -> None:
            await inspection.guarded(uid, question(content=content), Secrets.WARN)
            ended.append(f"{uid}:{'long' if len(content) > WINDOW else 'short'}")

        long = "no secret here. " * (4 * WINDOW // 16)
        await asyncio.gather(*(look(1, long) for _ in range(3)), look(2, long), look(3, "short"))
        assert ended == ["3:short", "1:long", "2:long", "1:long", "1:long"]

    async def test_a_placeholder_lasts_for_a_session(self) -> None:
        """The same throughout it, for each user; without one each request has its own."""
        inspection = Inspection(Sessions())

        async def look(uid: int, **options: Any) -> list[str]:
            asked = question(content=MADE[5].text, **options)
            guard = (await inspection.guarded(uid, asked, Secrets.REDACT)).guard
            assert guard.disguise is not None
            return list(guard.disguise.secrets)

        assert await look(1, session="a") == await look(1, session="a")
        names = [
            await look(1, session="a"),
            await look(2, session="a"),
            await look(1, session="b"),
            await look(1),
            await look(1),
        ]
        assert len({name for [name] in names}) == 5

    async def test_a_session_stays_pinned(self) -> None:
        """Whatever comes later in it, until an hour after its last request; others' sessions are their own."""
        now = [0.0]
        sessions = Sessions(lambda: now[0])
        inspection = Inspection(sessions)
        await inspection.guarded(1, question(content=MADE[5].text, session="s"), Secrets.LOCAL)
        for later in (0.0, 3599.0, 7000.0):
            now[0] = later
            assert (await inspection.guarded(1, question(session="s"), Secrets.OFF)).guard.pinned
        for uid, session in ((2, "s"), (1, "t")):
            assert not (await inspection.guarded(uid, question(session=session), Secrets.LOCAL)).guard.pinned
        now[0] = 7000.0 + 3601
        assert not (await inspection.guarded(1, question(session="s"), Secrets.OFF)).guard.pinned

    async def test_another_user_pushes_nobody_out(self) -> None:
        """Each user's pinned sessions have their own bound; a uid's next user begins anew."""
        sessions = Sessions()
        sessions.pin(1, "s")
        for number in range(20_000):
            sessions.pin(2, str(number))
        assert sessions.pinned(1, "s")
        assert (sessions.pinned(2, "0"), sessions.pinned(2, "19999")) == (False, True)
        sessions.forget(1)
        assert not sessions.pinned(1, "s")

    async def test_only_local_models_are_candidates(self) -> None:
        """Nobody else, whatever is asked for; where there is none, it is said why."""
        asked = await Inspection(Sessions()).guarded(1, question(content=MADE[5].text), Secrets.LOCAL)
        with_office = config(office=OFFICE)
        plan = plan_route(asked, with_office, catalog_of(with_office), Health())
        assert [item.provider for item in plan.candidates] == ["office"]
        with pytest.raises(NoProviderAvailable) as caught:
            plan_route(asked, config(), catalog_of(config()), Health())
        assert MADE[5].kind in caught.value.message
        assert MADE[5].secret not in caught.value.message

    async def test_the_longer_form_is_reserved_for(self) -> None:
        """A placeholder is longer than a short password: the worst case counts what is sent."""
        asked = question(content=" ".join(f"password=xyz{number:04}" for number in range(100)))
        guarded = await Inspection(Sessions()).guarded(1, asked, Secrets.REDACT)
        assert guarded.size().text_bytes == asked.size().text_bytes + 100 * (23 - 7)
