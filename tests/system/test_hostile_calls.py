"""Calls that nobody sane would make, by the thousand: each is answered or refused in documented words."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortexd import errors
from cortexd.connection import BusError, close_fds, wire
from tests.eventually import assert_eventually
from tests.system.footprint import own_files, resident_mb
from tests.system.hostile import CASES, Case
from tests.system.namespace import CHECKOUT
from tests.system.program import MANAGER, STANDARD, USAGE, Program, assert_reveals_nothing, dictionary
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import read_events
from tests.system.users import open_as

CONFIG = "[daemon]\npreload_sdks = true\n[cache]\nenabled = true\n"
USERS = ("root", "root", "alice", "alice")
AT_LEAST_AT_ONCE, AT_ONCE = 28, 32
EVERY = 10  # rounds
ANSWER_S = 30
SPARE_FILES = 12  # SQLite opens and closes files as readers come and go
SPARE_MB = 12

# These say that something broke, or that the test itself is wrong.
UNWANTED = {"Internal", "LedgerUnavailable", "ShuttingDown", "UnknownMethod", "UnknownObject", "UnknownProperty"}


def documented() -> set[str]:
    """The full names of the errors in docs/errors.md that a call of an existing method may end in."""
    names_alone, _, _ = (CHECKOUT / "docs" / "errors.md").read_text().partition("\n## Details")
    lines = names_alone.splitlines()
    cells = " ".join(line.split("|")[1] for line in lines if line.startswith("| `"))
    names = {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", cells)} - UNWANTED
    ours = {wire.error_name(getattr(errors, name)("")) for name in names if hasattr(errors, name)}
    return ours | {f"{STANDARD}{name}" for name in names if not hasattr(errors, name)}


DOCUMENTED = documented()


@dataclass(slots=True)
class Callers:
    """Connections of two users, each call of a case on the next one; `ended` counts what cases came to."""

    loop: asyncio.Runner
    programs: list[Program]
    ended: Counter[str] = field(default_factory=Counter)

    def all_at_once(self, cases: list[Case]) -> None:
        """Raises AssertionError for a case that ends in anything that is not documented."""
        self.loop.run(self._all(cases))

    def reset(self) -> None:
        """Undo what was set rightly: limits, the own ones too, and both users' wishes. They are answered."""
        self.loop.run(self._reset())

    async def _all(self, cases: list[Case]) -> None:
        root, _, alice, _ = self.programs
        refusing = [asyncio.create_task(_refuse_what_is_held(program)) for program in (root, alice)]
        try:
            async with asyncio.timeout(ANSWER_S):
                ends = await asyncio.gather(*(self._end(case, self.programs[n % 4]) for n, case in enumerate(cases)))
        finally:
            for task in refusing:
                task.cancel()
        self.ended.update(ends)
        wrong = [(end, case) for end, case in zip(ends, cases, strict=True) if end not in DOCUMENTED | {"answered"}]
        assert not wrong, f"not documented, or not true: {wrong[0]}"

    async def _end(self, case: Case, program: Program) -> str:
        message = case.message()
        message.unix_fds = [0] if case.descriptor else []
        try:
            reply = await program.connection.call(message, timeout_s=ANSWER_S, take_fds=True)
        except BusError as error:
            assert_reveals_nothing(error.text)
            return error.name if 0 < len(error.text) < 10_000 else f"{error.name} with {len(error.text)} characters"
        if case.method.name in ("OpenStream", "OpenRawStream"):
            return await asyncio.to_thread(_last_event, reply.unix_fds[0])
        close_fds(reply)
        return _end_of_batch(reply.body[0]) if case.method.name == "CompleteBatch" else "answered"

    async def _reset(self) -> None:
        root, _, alice, _ = self.programs
        for scope in ("machine", "each_user"):
            await root.call(MANAGER, "SetBudget", "a{sv}", dictionary({"scope": scope, "remove": True}))
        for program in (root, alice):
            await program.call(USAGE, "SetOwnBudget", "a{sv}", dictionary({"remove": True}))
            await program.call(MANAGER, "SetPreferences", "a{sv}", {})
            assert (await program.complete("user_chat", "hello")).content.endswith("hello")


async def _refuse_what_is_held(program: Program) -> None:
    """A case may have set a cap, at which those after it wait for their user's word."""
    while True:
        [rows] = await program.call(USAGE, "ListHolds")
        for row in rows:
            with suppress(BusError):  # its requests have ended
                await program.call(USAGE, "AnswerHold", "ssa{sv}", row["hold_id"], "refuse", {})
        await asyncio.sleep(0.1)


def _last_event(descriptor: int) -> str:
    """The name of the error that a stream ended in."""
    *_, last = read_events(descriptor)
    return str(last["name"]) if last["type"] == "error" else "answered"


def _end_of_batch(answers: list[list[Any]]) -> str:
    """The first error in it that is not documented."""
    names = [metadata["error_name"].value for _, metadata in answers if "error_name" in metadata]
    return next((name for name in names if name not in DOCUMENTED), "answered")


@contextmanager
def callers() -> Iterator[Callers]:
    with asyncio.Runner() as loop:
        opened = Callers(loop, [loop.run(open_as(user)) for user in USERS])
        yield opened
        for program in opened.programs:
            loop.run(program.close())


def bombard(callers: Callers, cases: int, now_and_then: Callable[[], None]) -> None:
    """At least so many, each `AT_ONCE` at once; now and then what they have set is undone, and a right call made."""
    rounds = itertools.count(1)

    @settings(
        max_examples=-(-cases // AT_LEAST_AT_ONCE), derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(CASES, min_size=AT_LEAST_AT_ONCE, max_size=AT_ONCE))
    def send(drawn: list[Case]) -> None:
        callers.all_at_once(drawn)
        if next(rounds) % EVERY == 0:
            callers.reset()
            now_and_then()

    callers.reset()
    send()


class TestHostileCalls:
    @pytest.mark.parametrize("cases", [500, pytest.param(20_000, marks=pytest.mark.slow)])
    def test_each_ends_in_documented_words(self, shared: Shared, cases: int) -> None:
        """An answer or a documented error for each; the daemon is alive, its memory and books as they should be."""
        sizes: list[tuple[float, int]] = []  # MB and descriptors, as time goes by
        with callers() as those:
            bombard(those, cases, lambda: sizes.append((resident_mb(shared.daemon.pid), own_files(shared.daemon.pid))))
        print(f"{those.ended.total()} cases: {dict(those.ended.most_common())}")
        print("MB and descriptors:", ", ".join(f"{megabytes:.0f} {files}" for megabytes, files in sizes))
        assert those.ended.total() >= cases
        assert those.ended["answered"] > cases / 10
        warm = sizes[len(sizes) // 3 :] or sizes
        assert max(megabytes for megabytes, _ in warm) < warm[0][0] + SPARE_MB
        assert max(files for _, files in warm) <= warm[0][1] + SPARE_FILES
        assert_eventually(lambda: all(row["state"] != "pending" for row in shared.books().rows), 20)
        shared.books().assert_balanced()
        shared.daemon.assert_clean_log()
        assert "internal error" not in shared.daemon.log()
