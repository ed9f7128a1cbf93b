"""GetUsage against the ledger's own file: every grouping, every span, and whose figures they are."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from dbus_next import Variant

from cortexd.connection import BusError
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.books import Books, Row
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import USAGE, Json, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream
from tests.system.users import programs_of, uid_of
from tests.system.zones import noon

CONFIG = '[daemon]\npreload_sdks = true\n[signals]\npublish_totals = "exact"\n'
ENVIRONMENT = noon()
UNASKED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
GROUPINGS: tuple[list[str], ...] = (
    [], ["day"], ["hour"], ["task_type"], ["provider"], ["model"], ["label"],
    ["provider", "model"], ["day", "task_type", "provider"], ["hour", "label", "model"],
)  # fmt: skip


async def usage(program: Program, group_by: Sequence[str] = (), **query: Any) -> list[Json]:
    groups = {"group_by": Variant("as", list(group_by))} if group_by else {}
    label = {"label": "job"} if "label" in group_by else {}
    [rows] = await program.call(USAGE, "GetUsage", "a{sv}", {**groups, **dictionary({**label, **query})})
    assert isinstance(rows, list)
    return rows


async def history(shared: Shared, *programs: Program) -> Books:
    """Requests of each program: both providers, labels, a cached prompt, a fallback, a failure, a stream left early."""
    for number, program in enumerate(programs, 1):
        shared.behave("claude", Behaviour(input_tokens=100 * number, output_tokens=7, cache_read_tokens=30))
        shared.behave("kimi_k2", Behaviour(input_tokens=11, output_tokens=90, reasoning_tokens=50))
        for label in ("a", "b", "a"):
            await program.complete("user_chat", "hello", labels={"job": label, "other": "x"})
        await program.complete("code_generation", "hello", labels={"job": "b"})
        await program.complete("error_debugging", "hello", labels={"other": "y"})
        await program.complete("user_chat", "hello", model="claude-opus-5-5")
        shared.behave("claude", Behaviour(status=500))
        await program.complete("user_chat", "hello")
        shared.behave("claude", Behaviour(reply="word " * 400, chunks=400, chunk_delay_s=0.02))
        stream = await Stream.open(program, "user_chat", "hello", provider="claude")
        await stream.some()
        stream.close()
        shared.behave("claude", Behaviour(status=400))
        with pytest.raises(BusError):
            await program.complete("user_chat", "hello", provider="claude")
    await assert_eventually_async(lambda: all(row["state"] != "pending" for row in shared.books().rows))
    return shared.books()


def hour(row: Row) -> str:
    """As `date` tells it in the daemon's time zone."""
    command = ["date", "--date", f"{row['started_at']} UTC", "+%Y-%m-%dT%H"]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.strip()


def label(row: Row) -> str:
    return str(json.loads(row["labels"]).get("job", ""))


def expected(books: Books, group_by: Sequence[str], uid: int | None = None) -> list[Json]:
    """The report, added up row by row."""
    groups: defaultdict[tuple[Any, ...], list[tuple[Row, Row]]] = defaultdict(list)
    for row in books.rows:
        if uid in (None, row["uid"]):
            keys = {"day": row["day"], "hour": hour(row), "task_type": row["task_type"], "label": label(row)}
            for attempt in books.attempts_of(row["request_id"]):
                found = {**keys, **attempt, "uid": row["uid"], "user": row["user"]}
                groups[tuple(found[name] for name in group_by)].append((row, attempt))
    return [_added(dict(zip(group_by, keys, strict=True)), groups[keys]) for keys in sorted(groups)]


def _added(keys: Json, shares: list[tuple[Row, Row]]) -> Json:
    attempts = [attempt for _, attempt in shares]
    nano = sum(attempt["cost_nano"] for attempt in attempts)
    return {
        **keys,
        "requests": len({row["id"] for row, _ in shares}),
        **{name: sum(attempt[name] or 0 for attempt in attempts) for name in TOKENS},
        "cost_nano_usd": nano,
        "cost_usd": nano / 10**9,
        "cost_known": all(attempt["cost_known"] for attempt in attempts),
    }


class TestGroups:
    async def test_each_against_the_file(self, shared: Shared) -> None:
        """Whatever they are grouped by, a user's rows are those of the ledger, and add up to one sum."""
        async with programs_of("alice", "bob") as (alice, bob):
            books = await history(shared, alice, bob)
            for user, program in (("alice", alice), ("bob", bob)):
                for group_by in GROUPINGS:
                    rows = await usage(program, group_by)
                    assert rows == expected(books, group_by, uid_of(user)), group_by
                    assert sum(row["cost_nano_usd"] for row in rows) == books.charged_to(uid_of(user))
        books.assert_balanced()

    async def test_everybodys(self, shared: Shared, program: Program) -> None:
        """Who may sees all users, each with the name beside the uid."""
        async with programs_of("alice", "bob") as programs:
            books = await history(shared, *programs)
        await program.complete("user_chat", "of root")
        books = shared.books()
        rows = await usage(program, ["uid"], all_users=True)
        assert rows == expected(books, ["uid", "user"])
        assert {row["user"] for row in rows} == {"root", "alice", "bob"}
        assert await usage(program, ["provider"], all_users=True) == expected(books, ["provider"])
        [everything] = await usage(program, all_users=True)
        assert everything["cost_nano_usd"] == books.charged_nano
        assert everything["cost_usd"] == pytest.approx(await program.property("TotalCostUsd"))
        assert await usage(program) == expected(books, [], uid=0)

    async def test_others_are_not_for_everybody(self, shared: Shared) -> None:
        """Grouping by uid is others' business too."""
        async with programs_of("alice") as [alice]:
            for query in ({"all_users": True}, {"group_by": ["uid"]}):
                with refused(UNASKED):
                    await usage(alice, **query)


class TestDays:
    async def test_since_and_until(self, shared: Shared, program: Program) -> None:
        """Both days are included, in the daemon's time zone; a time without requests is one sum of nothing."""
        await program.complete("user_chat", "hello")
        today = date.fromisoformat(shared.books().rows[-1]["day"])
        yesterday, tomorrow = (today + timedelta(days=days) for days in (-1, 1))
        [alone] = await usage(program, since=str(today), until=str(today))
        assert alone["requests"] > 0
        assert await usage(program, since=str(yesterday), until=str(tomorrow)) == [alone]
        assert await usage(program, ["day"], since=str(tomorrow), until=str(tomorrow)) == []
        [nothing] = await usage(program, since=str(yesterday), until=str(yesterday))
        assert (nothing["requests"], nothing["cost_nano_usd"], nothing["cost_known"]) == (0, 0, True)

    async def test_wrong_ones(self, shared: Shared, program: Program) -> None:
        """The error names the key and what was expected."""
        for query, said in (
            ({"since": "yesterday"}, "query.since: expected a day such as"),
            ({"since": "2026-11-24", "until": "2026-11-01"}, "query.until: 2026-11-01 is before query.since"),
            ({"group_by": ["weekday"]}, "query.group_by[0]"),
            ({"label": "job"}, "query.label"),
        ):
            with refused("InvalidArgument") as text:
                await usage(program, **query)
            assert text[0].startswith(said)


class TestLabels:
    async def test_a_hundred_values(self, shared: Shared, program: Program) -> None:
        """Of a label with more, the dearest hundred are told apart and the rest is one row."""
        shared.behave("claude", *(Behaviour(times=1, input_tokens=5, output_tokens=cost) for cost in range(1, 121)))
        async with asyncio.timeout(60):
            for number in range(1, 121):
                await program.complete("user_chat", "hello", labels={"job": f"job-{number:03}"})
        found = {row["label"]: row for row in await usage(program, ["label"])}
        assert {f"job-{number:03}" for number in range(21, 121)} == found.keys() - {"", "(other)"}
        assert found["(other)"]["requests"] == 20
        assert found["(other)"]["cost_nano_usd"] == sum(range(2, 22)) * 10_000
