"""alice with something of everything under way, and bob, who knows her ids and hears and records all that he can.

What alice alone may know holds the word SECRET; her request ids, which bob has looked up over her shoulder, hold OWNED.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_next import Variant

from cortexd.connection import BusError
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.people import Background
from tests.system.program import MANAGER, NAME, PROPERTIES, Json, Program, dictionary, messages
from tests.system.shared import Shared
from tests.system.stream import Stream
from tests.system.users import let_through, programs_of, uid_of

SECRET, OWNED = "heliotrope", "orchid"
RUNNING, FINISHED, STREAM, BATCH = (f"{OWNED}-{name}" for name in ("running", "finished", "stream", "batch"))
PROMPT = "good morning"  # which anybody may say; alice is answered something secret
WISHES = {"error_debugging": "claude"}  # whose row in the routing table says kimi_k2
LABELS = {"project": f"{SECRET}-project"}
OF_THE_MACHINE = ("TotalsChanged", "PropertiesChanged")
STREAMED_BYTES = 4_000_000  # more than pipe and buffers hold: it lasts until it is read
CONFIG = """
[daemon]
preload_sdks = true
[cache]
enabled = true
[budgets.machine]
day_usd = "98765.43"
[budgets.groups.cortex]
month_usd = "87654.32"
[budgets.groups.bob]
month_usd = "76543.21"
"""
_OUTCOMES = "SELECT request_id, score, reason FROM outcomes JOIN requests ON requests.id = outcomes.request"
_EAVESDROPPING = ("eavesdrop='true'", f"type='signal',interface='{NAME}',eavesdrop='true'",
                  "type='method_return',eavesdrop='true'", "type='method_call',eavesdrop='true'")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    name: str
    text: str


@dataclass(slots=True)
class Scene:
    """`seen`: what bob was answered lately, results and errors alike, but for the totals of the whole machine."""

    shared: Shared
    alice: Program
    bob: Program
    root: Program
    stream: Stream
    finished: Json
    subscription: int
    monitor: Background
    running: asyncio.Task[Any]
    seen: list[Any] = field(default_factory=list)
    bobs_ids: set[str] = field(default_factory=set)

    async def bob_calls(self, interface: str, member: str, signature: str = "", *arguments: Any) -> list[Any]:
        try:
            results = await self.bob.call(interface, member, signature, *arguments)
        except BusError as error:
            self.seen.append(f"{error.name}: {error.text}")
            raise
        self.seen.append(results)
        return results

    async def bob_is_refused(self, interface: str, member: str, signature: str = "", *arguments: Any) -> Refusal:
        """What the error says."""
        try:
            results = await self.bob_calls(interface, member, signature, *arguments)
        except BusError as error:
            return Refusal(error.name, error.text)
        raise AssertionError(f"bob was answered {results}")

    async def bob_asks(self, prompt: str = PROMPT, **options: Any) -> Json:
        """His request's metadata, with the answer under "content"."""
        self.bobs_ids.add(options.get("request_id", ""))
        arguments = ("user_chat", messages(prompt), dictionary(options))
        content, metadata = await self.bob_calls(NAME, "CompleteWithOptions", "saa{sv}a{sv}", *arguments)
        return {**metadata, "content": content}

    async def bob_reads(self, name: str) -> Any:
        [value] = await self.bob.call(PROPERTIES, "Get", "ss", NAME, name)
        return value

    async def alice_asks(self, prompt: str, behaviour: Behaviour, **options: Any) -> Json:
        self.shared.behave("claude", behaviour)
        return (await self.alice.complete("user_chat", prompt, **{"provider": "claude", **options})).metadata

    async def alice_lists(self) -> dict[str, str]:
        """The states of her requests."""
        [rows] = await self.alice.call(NAME, "ListRequests")
        return {row["request_id"]: row["state"] for row in rows}

    def row_of_alice(self, request_id: str) -> Json:
        rows = self.shared.books().rows
        [row] = [row for row in rows if (row["uid"], row["request_id"]) == (uid_of("alice"), request_id)]
        return row

    def outcomes(self) -> list[tuple[str, float, str]]:
        """All that anybody has reported: request id, score, reason."""
        with closing(sqlite3.connect(f"file:{self.shared.daemon.ledger_file}?mode=ro", uri=True)) as ledger:
            return ledger.execute(_OUTCOMES).fetchall()

    def spent_by(self, user: str) -> int:
        return self.shared.books().charged_to(uid_of(user))

    def assert_undisturbed(self) -> None:
        """Both of alice's requests are still under way."""
        states = [self.row_of_alice(name)["state"] for name in (RUNNING, STREAM)]
        assert states == ["pending", "pending"]
        assert not self.running.done()

    def assert_nothing_seen(self) -> None:
        """Since it was asked last, bob has got none of alice's words and sums: in no reply, error or signal."""
        heard = [(signal.member, signal.body) for signal in self.bob.signals]
        seen, self.seen = self.seen, []  # so that what one member gives away is not held against the next
        self.bob.signals.clear()
        overheard = self.monitor.output()
        assert SECRET not in f"{seen}{heard}{overheard}"
        assert OWNED not in overheard
        assert not [found for found in heard if OWNED in str(found) and found[1][0] not in self.bobs_ids]
        told = [*seen, *(body for member, body in heard if member not in OF_THE_MACHINE)]
        hers = {self.finished["cost_nano_usd"], self.spent_by("alice")}
        assert not hers & {nano for number in _numbers(told) for nano in (round(number), round(number * 10**9))}


@asynccontextmanager
async def scene(shared: Shared, output: Path) -> AsyncIterator[Scene]:
    """bob may ask ordinary questions, by a rule of the machine's."""
    with ExitStack() as stack:
        stack.enter_context(let_through("bob"))
        monitor = stack.enter_context(_listening(output))
        async with programs_of("alice", "bob") as (alice, bob):
            root = await Program.open()
            await bob.hear_broadcasts()
            await _eavesdrop(bob)
            made = await _busy(shared, alice, bob, root, monitor)
            yield made
            with suppress(BusError):
                await alice.call(NAME, "Cancel", "s", RUNNING)
            await asyncio.gather(made.running, return_exceptions=True)
            await root.close()


async def _busy(shared: Shared, alice: Program, bob: Program, root: Program, monitor: Background) -> Scene:
    subscription, _ = await alice.subscribe()
    told = Behaviour(times=1, reply=f"the {SECRET} is under the mat", input_tokens=7_919_337, output_tokens=17)
    shared.behave("claude", told)
    options = {"labels": LABELS, "cache": True, "session": f"{OWNED}-session"}
    finished = await alice.complete("user_chat", PROMPT, request_id=FINISHED, **options)
    assert SECRET in finished.content
    shared.behave("claude", Behaviour(times=5, reply=SECRET))
    requests = [["user_chat", messages(PROMPT)]] * 5
    await alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, dictionary({"request_id": BATCH}))
    details = dictionary({"reason": f"{SECRET}!", "labels": LABELS})
    await alice.call(NAME, "ReportOutcome", "sda{sv}", FINISHED, 0.25, details)
    wishes = {"providers": Variant("a{ss}", WISHES)}
    await alice.call(MANAGER, "SetPreferences", "a{sv}", wishes)
    shared.behave("kimi_k2", Behaviour(times=1, size_bytes=STREAMED_BYTES, chunks=4000))
    stream = await Stream.open(
        alice, "code_generation", PROMPT, request_id=STREAM, provider="kimi_k2", max_tokens=500_000, labels=LABELS
    )
    shared.behave("claude", Behaviour(times=1, delay_s=100, reply=SECRET))
    asking = asyncio.create_task(
        alice.complete("user_chat", PROMPT, request_id=RUNNING, provider="claude", labels=LABELS)
    )
    await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 1)
    return Scene(shared, alice, bob, root, stream, finished.metadata, subscription, monitor, asking)


async def _eavesdrop(program: Program) -> None:
    for rule in _EAVESDROPPING:
        with suppress(BusError):
            await program.connection.add_match(rule)


@contextmanager
def _listening(output: Path) -> Iterator[Background]:
    """dbus-monitor, which asks to become a monitor and, refused, adds rules with eavesdrop."""
    monitor = Background("bob", ["dbus-monitor", "--system"], output)
    try:
        monitor.await_output("NameAcquired")
        yield monitor
    finally:
        monitor.stop()


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


async def same_refusal(made: Scene, interface: str, member: str, signature: str, *arguments: Any) -> Refusal:
    """What bob is told about alice's id, the first argument; of an id that never was he is told the same."""
    hers = await made.bob_is_refused(interface, member, signature, *arguments)
    never: Any = "never-seen" if isinstance(arguments[0], str) else 4_000_000_000
    nobodys = await made.bob_is_refused(interface, member, signature, never, *arguments[1:])
    assert hers.name == nobodys.name
    assert hers.text.replace(str(arguments[0]), "ID") == nobodys.text.replace(str(never), "ID")
    return hers
