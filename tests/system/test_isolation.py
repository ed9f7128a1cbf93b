"""One user against another: every method, signal and property of the interface file, and what bob learns by it.

`ROWS` holds a row for each member; one without a row fails, so a new member does not come in unlooked at.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from dbus_next import Variant

from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.hostile import INTERFACE_FILE
from tests.system.isolation import (
    BATCH,
    CONFIG,  # noqa: F401 - the shared daemon's
    FINISHED,
    OWNED,
    PROMPT,
    RUNNING,
    SECRET,
    STREAM,
    STREAMED_BYTES,
    Scene,
    same_refusal,
    scene,
)
from tests.system.program import ERROR, MANAGER, NAME, USAGE, dictionary, messages, refused
from tests.system.raw import body_of, open_raw
from tests.system.shared import Shared, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of
from tests.system.test_holds import answer, one_hold, set_own
from tests.system.users import uid_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
Member = tuple[str, str]  # interface, name
Row = Callable[[Scene], Awaitable[None]]
ROWS: dict[Member, Row] = {}
NOT_FOUND = f"{ERROR}.RequestNotFound"
NEEDS_PASSWORD = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
FIGURES = ("spent_usd", "spent_nano_usd", "reserved_usd", "reserved_nano_usd")
_ASK = (NAME, "Complete", "saa{sv}", "user_chat", messages(PROMPT))
_numbers = itertools.count(1)


def members() -> list[Member]:
    found = []
    for interface in ElementTree.parse(INTERFACE_FILE).getroot().iter("interface"):
        for member in interface:
            if member.tag in ("method", "signal", "property"):
                found.append((interface.attrib["name"], member.attrib["name"]))
    return found


def row(interface: str, name: str) -> Callable[[Row], Row]:
    def enter(made: Row) -> Row:
        ROWS[interface, name] = made
        return made

    return enter


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="scene")
async def scene_fixture(shared_of_module: Shared, namespace: Path) -> AsyncIterator[Scene]:
    for provider in ("claude", "kimi_k2"):
        shared_of_module.simulated.reset(provider)
    async with scene(shared_of_module, namespace / f"monitor-{next(_numbers)}") as made:
        yield made


class TestEveryMember:
    @pytest.mark.parametrize("member", members(), ids=lambda member: ".".join(member)[len("org.cortexlinux.") :])
    async def test_gives_nothing_of_anothers(self, scene: Scene, member: Member) -> None:
        """Whatever bob does with it, alice's words, ids and sums stay hers, and her requests go on."""
        name = ".".join(member)
        assert member in ROWS, (
            f"{name} is new in the interface file: add a row for it to tests/system/test_isolation.py, which has bob "
            "use it on what is alice's (her ids, her money, her wishes) and says what he must be told instead"
        )
        await ROWS[member](scene)
        scene.assert_nothing_seen()
        scene.assert_undisturbed()

    async def test_no_row_without_a_member(self) -> None:
        """The table has no more rows than the interface file has members."""
        assert sorted(ROWS) == sorted(members())


class TestAtTheEnd:
    async def test_requests_finish_undisturbed(self, scene: Scene) -> None:
        """While bob tries all that could end it, alice's request goes on to its own answer and cost."""
        scene.shared.behave(
            "claude", Behaviour(times=1, delay_s=1.5, reply=SECRET, input_tokens=1000, output_tokens=10)
        )
        asking = asyncio.create_task(
            scene.alice.complete("user_chat", PROMPT, request_id=f"{OWNED}-2", provider="claude")
        )
        await assert_eventually_async(lambda: f"{OWNED}-2" in str(scene.shared.books().rows))
        await same_refusal(scene, NAME, "Cancel", "s", f"{OWNED}-2")
        await scene.bob_asks(request_id=f"{OWNED}-2")
        await scene.bob_calls(NAME, "ReportOutcome", "sda{sv}", f"{OWNED}-2", 0.0, {})
        assert not asking.done()
        answer = await asking
        assert (answer.content, answer.cost_nano) == (SECRET, 1000 * 2000 + 10 * 10_000)
        scene.assert_nothing_seen()

    async def test_the_stream_is_whole(self, scene: Scene) -> None:
        """What alice opened before all this began ends as it should."""
        events = await scene.stream.read(60)
        assert (len(text_of(events).encode()), events[-1]["type"]) == (STREAMED_BYTES, "done")
        assert (await scene.alice_lists())[RUNNING] == "running"

    async def test_the_bus_lets_nobody_listen(self, scene: Scene) -> None:
        """dbus-monitor ran as bob all the time; it was refused, and heard none of alice's signals."""
        assert "AccessDenied" in scene.monitor.output()
        assert scene.alice.heard("CostIncurred")
        assert "CostIncurred" not in scene.monitor.output()


# -- asking ------------------------------------------------------------------------------------------------------


@row(NAME, "Ask")
async def ask(scene: Scene) -> None:
    assert (await scene.bob_calls(NAME, "Ask", "ss", "user_chat", PROMPT))[0].endswith(PROMPT)


@row(NAME, "Complete")
async def complete(scene: Scene) -> None:
    content, metadata = await scene.bob_calls(NAME, "Complete", "saa{sv}", "user_chat", messages(PROMPT))
    assert (content.endswith(PROMPT), metadata["cache_hit"]) == (True, False)


@row(NAME, "CompleteWithOptions")
async def complete_with_options(scene: Scene) -> None:
    """alice's ids are free for bob: he neither joins her requests nor gets her answers, and pays for his own."""
    for request_id in (RUNNING, f"{BATCH}.2"):
        before = scene.shared.simulated.counts("claude").requests
        answer = await scene.bob_asks(request_id=request_id)
        assert answer["content"].endswith(PROMPT)
        assert (answer["request_id"], answer["cache_hit"]) == (request_id, False)
        assert scene.shared.simulated.counts("claude").requests == before + 1
    answer = await scene.bob_asks(cache=True)
    assert (answer["cache_hit"], answer["content"].endswith(PROMPT)) == (False, True)


@row(NAME, "CompleteBatch")
async def complete_batch(scene: Scene) -> None:
    requests, options = [["user_chat", messages(PROMPT)]], dictionary({"request_id": BATCH})
    [[[content, metadata]]] = await scene.bob_calls(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, options)
    assert (content.endswith(PROMPT), metadata["request_id"]) == (True, f"{BATCH}.0")


@row(NAME, "OpenStream")
async def open_stream(scene: Scene) -> None:
    stream = await Stream.open(scene.bob, "user_chat", PROMPT, request_id=f"{BATCH}.1")
    events = await stream.read()
    scene.seen.append(events)
    assert text_of(events).endswith(PROMPT)


@row(NAME, "CompleteRaw")
async def complete_raw(scene: Scene) -> None:
    """alice's ids are free for bob here as well."""
    before, told = scene.shared.simulated.counts("claude").requests, dictionary({"request_id": f"{BATCH}.3"})
    [answer, metadata] = await scene.bob_calls(
        NAME, "CompleteRaw", "sssa{sv}", "anthropic", "user_chat", body_of("anthropic", prompt=PROMPT), told
    )
    assert (PROMPT in answer, metadata["request_id"], metadata["cache_hit"]) == (True, f"{BATCH}.3", False)
    assert scene.shared.simulated.counts("claude").requests == before + 1


@row(NAME, "OpenRawStream")
async def open_raw_stream(scene: Scene) -> None:
    """Neither does a stream lead to hers."""
    body = body_of("anthropic", prompt=PROMPT, stream=True)
    stream = await open_raw(scene.bob, "anthropic", body, request_id=f"{BATCH}.4")
    events = await stream.read()
    scene.seen.append([str(event) for event in events])
    assert PROMPT in json.dumps(scene.shared.simulated.received("claude")[-1].json())
    assert events[-1]["metadata"]["request_id"] == f"{BATCH}.4"


@row(NAME, "Cancel")
async def cancel(scene: Scene) -> None:
    for request_id in (RUNNING, STREAM, FINISHED):
        assert (await same_refusal(scene, NAME, "Cancel", "s", request_id)).name == NOT_FOUND


@row(NAME, "ListRequests")
async def list_requests(scene: Scene) -> None:
    assert await scene.bob_calls(NAME, "ListRequests") == [[]]
    scene.shared.behave("claude", Behaviour(times=1, delay_s=60))
    asking = asyncio.create_task(scene.bob.complete("user_chat", PROMPT, request_id="bobs-own"))
    await assert_eventually_async(lambda: scene.shared.simulated.counts("claude").active == 2)
    [[own]] = await scene.bob_calls(NAME, "ListRequests")
    assert own["request_id"] == "bobs-own"
    assert set(await scene.alice_lists()) == {RUNNING, STREAM}
    await scene.bob_calls(NAME, "Cancel", "s", "bobs-own")
    await asyncio.gather(asking, return_exceptions=True)


@row(NAME, "ReportOutcome")
async def report_outcome(scene: Scene) -> None:
    for request_id in (STREAM, FINISHED):
        refused = await same_refusal(scene, NAME, "ReportOutcome", "sda{sv}", request_id, 0.9, {})
        assert refused.name == NOT_FOUND
    assert scene.outcomes() == [(FINISHED, 0.25, f"{SECRET}!")]


@row(NAME, "GetRequest")
async def get_request(scene: Scene) -> None:
    """bob's last request is none of alice's, and hers are not there for him."""
    for request_id in (STREAM, FINISHED):
        assert (await same_refusal(scene, NAME, "GetRequest", "s", request_id)).name == NOT_FOUND
    answer = await scene.bob_asks(request_id="bobs-last")
    [own] = await scene.bob_calls(NAME, "GetRequest", "s", "")
    assert (own["request_id"], own["model"], own["outcomes"]) == ("bobs-last", answer["model"], [])


@row(NAME, "Route")
async def route(scene: Scene) -> None:
    """alice's wishes and sessions move nobody else's requests."""
    arguments = (NAME, "Route", "saa{sv}a{sv}", "error_debugging", messages(PROMPT))
    for options in ({}, {"session": f"{OWNED}-session"}):
        [decision] = await scene.bob_calls(*arguments, dictionary(options))
        assert (decision["provider"], decision["strategy"]) == ("kimi_k2", "table")
    assert (await scene.alice.route("error_debugging", PROMPT))["provider"] == "claude"
    of_hers = await scene.alice.route("code_generation", PROMPT, session=f"{OWNED}-session")
    assert of_hers["provider"] == "claude"


# -- signals -----------------------------------------------------------------------------------------------------


@row(NAME, "CostIncurred")
async def cost_incurred(scene: Scene) -> None:
    """Each is told what is his own."""
    await scene.bob_calls(USAGE, "Subscribe", "a{sv}", {})
    for program in (scene.alice, scene.bob):
        program.signals.clear()
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET), request_id=f"{OWNED}-told")
    await scene.bob_asks(request_id="bob-told")
    assert [body[0] for body in scene.alice.heard("CostIncurred")] == [f"{OWNED}-told"]
    told = await scene.bob.await_heard("CostIncurred")
    assert {body[0] for body in told} == {"bob-told"}


@row(NAME, "TotalsChanged")
async def totals_changed(scene: Scene) -> None:
    """Everybody hears the sums of the whole machine, and whose they are from nobody."""
    scene.bob.signals.clear()
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET))
    for requests, usd, details in await scene.bob.await_heard("TotalsChanged"):
        assert (type(requests), type(usd), details) == (int, float, {})


@row(NAME, "ProviderStateChanged")
async def provider_state_changed(scene: Scene) -> None:
    """Why a provider failed is told in one of our own words; its own may quote what alice has asked."""
    scene.bob.signals.clear()
    await scene.alice_asks(SECRET, Behaviour(times=1, status=500, error_message=f"{SECRET}?"), fallback=True)
    [provider, state, details] = (await scene.bob.await_heard("ProviderStateChanged"))[0]
    assert (provider, state, details) == ("claude", "degraded", {"last_failure": "server_error"})
    [rows] = await scene.bob_calls(MANAGER, "ListProviders")
    assert [item["last_failure"] for item in rows if item["name"] == "claude"] == ["server_error"]
    await scene.bob_asks(provider="claude")


@row(NAME, "BudgetThreshold")
async def budget_threshold(scene: Scene) -> None:
    limit = scene.spent_by("alice") * 2 + 10**6
    budget = {"scope": "user", "name": "alice"}
    await scene.root.call(MANAGER, "SetBudget", "a{sv}", dictionary({**budget, "day_usd": limit / 10**9}))
    scene.bob.signals.clear()
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET, input_tokens=1000))
    [told] = await scene.alice.await_heard("BudgetThreshold")
    assert told[:2] == ["day", 0.5]
    await scene.bob_asks()
    assert not scene.bob.heard("BudgetThreshold")
    await scene.root.call(MANAGER, "SetBudget", "a{sv}", dictionary({**budget, "remove": True}))


@asynccontextmanager
async def held_of_alice(scene: Scene) -> AsyncIterator[str]:
    """The id of a question about a request of hers, which she then refuses."""
    await set_own(scene.alice, day_usd=0.0, at_limit="ask")
    options = {"request_id": "alices-held", "provider": "claude", "labels": {"app": SECRET}}
    asking = asyncio.create_task(scene.alice.complete("user_chat", PROMPT, **options))
    try:
        hold = await one_hold(scene.alice)
        yield hold["hold_id"]
        await answer(scene.alice, hold["hold_id"], "refuse")
        with refused("BudgetExceeded"):
            await asking
    finally:
        await set_own(scene.alice, remove=True)


@row(NAME, "BudgetHeld")
async def budget_held(scene: Scene) -> None:
    async with held_of_alice(scene) as hold_id:
        assert hold_id in [body[0] for body in await scene.alice.await_heard("BudgetHeld")]
        await scene.bob_asks()
        assert not scene.bob.heard("BudgetHeld")


@row(NAME, "HoldEnded")
async def hold_ended(scene: Scene) -> None:
    async with held_of_alice(scene) as hold_id:
        pass
    assert [hold_id, "refuse"] in await scene.alice.await_heard("HoldEnded")
    await scene.bob_asks()
    assert not scene.bob.heard("HoldEnded")


@row(USAGE, "SetOwnBudget")
async def set_own_budget(scene: Scene) -> None:
    """bob's is his own alone."""
    await scene.bob_calls(USAGE, "SetOwnBudget", "a{sv}", dictionary({"day_usd": 0.0, "at_limit": "refuse"}))
    assert (await scene.bob_is_refused(*_ASK)).name == f"{ERROR}.BudgetExceeded"
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET))
    async with held_of_alice(scene):
        await scene.bob_calls(USAGE, "SetOwnBudget", "a{sv}", dictionary({"remove": True}))
        assert (await scene.alice_lists())["alices-held"] == "held"


@row(USAGE, "ListHolds")
async def list_holds(scene: Scene) -> None:
    async with held_of_alice(scene):
        assert await scene.bob_calls(USAGE, "ListHolds") == [[]]


@row(USAGE, "AnswerHold")
async def answer_hold(scene: Scene) -> None:
    """An id of hers and one of nobody are refused alike."""
    async with held_of_alice(scene) as hold_id:
        refusals = [
            await scene.bob_is_refused(USAGE, "AnswerHold", "ssa{sv}", name, "once", {}) for name in (hold_id, "x")
        ]
        assert refusals[0] == refusals[1]
        assert refusals[0].name == NOT_FOUND
        assert (await scene.alice_lists())["alices-held"] == "held"


@row(NAME, "PeriodStarted")
async def period_started(scene: Scene) -> None:
    """It has room for the name of the period and nothing else."""
    [signal] = ElementTree.parse(INTERFACE_FILE).getroot().findall(".//signal[@name='PeriodStarted']")
    assert [(item.attrib["name"], item.attrib["type"]) for item in signal.findall("arg")] == [("period", "s")]


# -- properties --------------------------------------------------------------------------------------------------


def same_for_everybody(name: str) -> Row:
    async def read(scene: Scene) -> None:
        value = await scene.bob_reads(name)
        scene.seen.append(value)
        [of_root] = await scene.root.call("org.freedesktop.DBus.Properties", "Get", "ss", NAME, name)
        assert value == of_root

    return row(NAME, name)(read)


def a_total(name: str) -> Row:
    """One number, of the whole machine."""

    async def read(scene: Scene) -> None:
        assert isinstance(await scene.bob_reads(name), int | float)

    return row(NAME, name)(read)


for constant in ("Version", "Features", "TaskTypes", "Providers"):
    same_for_everybody(constant)
for total in ("ActiveRequests", "TotalRequests", "TotalCostUsd"):
    a_total(total)


# -- money -------------------------------------------------------------------------------------------------------


@row(USAGE, "Subscribe")
async def subscribe(scene: Scene) -> None:
    [number, snapshot] = await scene.bob_calls(USAGE, "Subscribe", "a{sv}", {})
    assert number != scene.subscription
    assert snapshot["day_nano_usd"] == snapshot["month_nano_usd"] == scene.spent_by("bob")


@row(USAGE, "Unsubscribe")
async def unsubscribe(scene: Scene) -> None:
    assert (await same_refusal(scene, USAGE, "Unsubscribe", "u", scene.subscription)).name == NOT_FOUND
    before = len(scene.alice.heard("CostIncurred"))
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET))
    await scene.alice.await_heard("CostIncurred", before + 1)


@row(USAGE, "GetStats")
async def get_stats(scene: Scene) -> None:
    await scene.bob_asks()
    [stats] = await scene.bob_calls(USAGE, "GetStats")
    assert 0 < stats["total_cost_nano_usd"] <= scene.spent_by("bob")


@row(USAGE, "ResetStats")
async def reset_stats(scene: Scene) -> None:
    before = await scene.alice.stats()
    await scene.bob_calls(USAGE, "ResetStats")
    assert await scene.alice.stats() == before
    assert (await scene.bob_calls(USAGE, "GetStats"))[0]["total_requests"] == 0


@row(USAGE, "GetUsage")
async def get_usage(scene: Scene) -> None:
    """The own, however it is grouped; everybody's needs view-all-usage, with the same refusal whoever there is."""
    await scene.bob_asks()
    for query in ({}, {"label": "project", "group_by": Variant("as", ["label"])},
                  {"group_by": Variant("as", ["day", "hour", "task_type", "provider", "model"])}):  # fmt: skip
        [rows] = await scene.bob_calls(USAGE, "GetUsage", "a{sv}", dictionary(query))
        assert sum(item["cost_nano_usd"] for item in rows) == scene.spent_by("bob")
    for query in ({"all_users": True}, {"group_by": Variant("as", ["uid"])}):
        refused = await scene.bob_is_refused(USAGE, "GetUsage", "a{sv}", dictionary(query))
        assert refused.name == NEEDS_PASSWORD
        assert "view-all-usage" in refused.text
    everybody = dictionary({"all_users": True, "group_by": Variant("as", ["uid"])})
    [rows] = await scene.root.call(USAGE, "GetUsage", "a{sv}", everybody)
    by_user = {item["user"]: item["cost_nano_usd"] for item in rows}
    assert {user: by_user[user] for user in ("alice", "bob")} == {
        user: scene.spent_by(user) for user in ("alice", "bob")
    }


@row(USAGE, "GetLearningReport")
async def get_learning_report(scene: Scene) -> None:
    """The own; everybody's needs view-all-usage."""
    await scene.bob_asks()
    [report] = await scene.bob_calls(USAGE, "GetLearningReport", "a{sv}", dictionary({"days": 1}))
    assert report["verdict"] == "too_little"
    refused = await scene.bob_is_refused(USAGE, "GetLearningReport", "a{sv}", dictionary({"all_users": True}))
    assert refused.name == NEEDS_PASSWORD
    assert "view-all-usage" in refused.text


@row(USAGE, "GetBudget")
async def get_budget(scene: Scene) -> None:
    """bob sees the limits that bind him, alice hers; what others have spent below them in steps, but for who may view
    all usage."""
    expected = {"alice": {("group", "cortex"), ("machine", None)}, "bob": {("group", "bob"), ("machine", None)}}
    for user, call in (("alice", scene.alice.call), ("bob", scene.bob_calls)):
        [limits] = await call(USAGE, "GetBudget")
        assert {(item["scope"], item.get("name")) for item in limits} == expected[user]
        assert not [item for item in limits if any(key in item for key in FIGURES)]
        own = [row for row in scene.shared.books().rows if row["uid"] == uid_of(user)]
        own_nano = sum(row["open"] + row["charged"] for row in own)
        for item in limits:
            assert item["step_nano_usd"] >= item["limit_nano_usd"] // 100
            others_nano = item["limit_nano_usd"] - item["remaining_nano_usd"] - own_nano
            assert others_nano % item["step_nano_usd"] == 0
    [limits] = await scene.root.call(USAGE, "GetBudget")
    [machine] = [item for item in limits if item["scope"] == "machine"]
    assert machine["spent_nano_usd"] == scene.shared.books().charged_nano
    assert machine["reserved_nano_usd"] > 0


# -- the service -------------------------------------------------------------------------------------------------


@row(MANAGER, "ListProviders")
async def list_providers(scene: Scene) -> None:
    [rows] = await scene.bob_calls(MANAGER, "ListProviders")
    assert not [item for item in rows if "endpoint" in item]


@row(MANAGER, "GetPreferences")
async def get_preferences(scene: Scene) -> None:
    assert await scene.bob_calls(MANAGER, "GetPreferences") == [{}]


@row(MANAGER, "SetPreferences")
async def set_preferences(scene: Scene) -> None:
    before = await scene.alice.call(MANAGER, "GetPreferences")
    await scene.bob_calls(MANAGER, "SetPreferences", "a{sv}", dictionary({"local_only": True}))
    assert await scene.alice.call(MANAGER, "GetPreferences") == before
    assert (await scene.alice.route("error_debugging", PROMPT))["provider"] == "claude"
    await scene.bob_calls(MANAGER, "SetPreferences", "a{sv}", {})


@row(MANAGER, "SetBudget")
async def set_budget(scene: Scene) -> None:
    for name in ("alice", "bob", "nobody-of-that-name"):
        budget = dictionary({"scope": "user", "name": name, "day_usd": 0.0})
        refused = await scene.bob_is_refused(MANAGER, "SetBudget", "a{sv}", budget)
        assert (refused.name, "LLMRouter.manage" in refused.text) == (NEEDS_PASSWORD, True)
    await scene.alice_asks("hello", Behaviour(times=1, reply=SECRET))


@row(MANAGER, "GetLearned")
async def get_learned(scene: Scene) -> None:
    """Of few outcomes nobody learns how good they were."""
    for number in range(3):
        reply = await scene.alice.complete("configuration", f"{PROMPT} {number}")
        await scene.alice.call(NAME, "ReportOutcome", "sda{sv}", reply.metadata["request_id"], 1.0, {})
    [learned] = await scene.bob_calls(MANAGER, "GetLearned")
    told = [row for row in learned["cells"] if row["task_type"] == "configuration"]
    assert sum(row["outcomes"] for row in told) in (2, 3)
    assert not any("mean" in row for row in told)


@row(MANAGER, "ExportLearned")
async def export_learned(scene: Scene) -> None:
    assert (await scene.bob_is_refused(MANAGER, "ExportLearned")).name == NEEDS_PASSWORD


@row(MANAGER, "ImportLearned")
async def import_learned(scene: Scene) -> None:
    document = '{"version": 1, "counts": {}, "cells": []}'
    how = dictionary({"mode": "replace"})
    assert (await scene.bob_is_refused(MANAGER, "ImportLearned", "sa{sv}", document, how)).name == NEEDS_PASSWORD


@row(MANAGER, "ResetLearned")
async def reset_learned(scene: Scene) -> None:
    assert (await scene.bob_is_refused(MANAGER, "ResetLearned", "a{sv}", {})).name == NEEDS_PASSWORD


@row(MANAGER, "Reload")
async def reload(scene: Scene) -> None:
    assert (await scene.bob_is_refused(MANAGER, "Reload")).name == NEEDS_PASSWORD


@row(MANAGER, "VerifyProvider")
async def verify_provider(scene: Scene) -> None:
    for name in ("claude", "no-such-provider"):
        assert (await scene.bob_is_refused(MANAGER, "VerifyProvider", "s", name)).name == NEEDS_PASSWORD
