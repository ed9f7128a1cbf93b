"""A daemon that nobody asks anything: it serves, and has of its ledger no more in memory than that takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.books import read_books
from tests.system.daemon import Daemon
from tests.system.program import Program, program_fixture, refused  # noqa: F401

MakeDaemon = Callable[..., Daemon]


def has_sqlalchemy(daemon: Daemon) -> bool:
    """By its compiled modules, which the kernel tells of."""
    return "/sqlalchemy/" in Path(f"/proc/{daemon.pid}/maps").read_text()


@pytest.fixture
def resting(daemon: MakeDaemon) -> Daemon:
    """A daemon on any day but its first."""
    made = daemon()
    assert has_sqlalchemy(made)  # it has made the ledger
    made.restart()
    return made


class TestRest:
    async def test_lasts_until_somebody_needs_the_ledger(self, resting: Daemon, program: Program) -> None:
        """Neither what tells of the service nor a reload does, once a caller is known; a request does, and is answered
        and booked."""
        await program.providers()
        resting.restart()
        assert await program.property("TotalRequests") == 0
        assert await program.property("Version")
        assert await program.providers()
        resting.reconfigure("[limits]\nmax_batch_requests = 7\n")
        assert not has_sqlalchemy(resting)
        reply = await program.complete("user_chat", "hello")
        assert has_sqlalchemy(resting)
        assert read_books(resting.ledger_file).request(reply.metadata["request_id"])["state"] == "done"
        assert await program.property("TotalRequests") == 1
        resting.restart()
        assert await program.property("TotalRequests") == 1
        assert not has_sqlalchemy(resting)

    async def test_ends_with_questions_about_money(self, resting: Daemon, program: Program) -> None:
        """Statistics are the ledger's, the first of them at once."""
        assert (await program.stats())["total_requests"] == 0
        assert has_sqlalchemy(resting)

    def test_survives_a_kill(self, resting: Daemon) -> None:
        """Killed at rest it has left nothing to do."""
        resting.kill()
        resting.start()
        assert not has_sqlalchemy(resting)

    async def test_a_ledger_that_has_gone_meanwhile(self, resting: Daemon, program: Program) -> None:
        """Who asks then is told what to do, as a start would say, and nothing is spent; put back it is used."""
        kept = resting.ledger_file.with_name("kept")
        resting.ledger_file.rename(kept)
        with refused("LedgerUnavailable") as text:
            await program.complete("user_chat", "hello")
        assert "run cortexctl ledger begin-anew" in text[0]
        assert "new requests are refused" in resting.log()
        kept.rename(resting.ledger_file)
        reply = await program.complete("user_chat", "hello")
        assert read_books(resting.ledger_file).charged_nano == reply.cost_nano
        assert "the ledger can be written again" in resting.log()
