"""What an endpoint's own queue is taken for, and how long a first token is waited for; with times of the tests' own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call, Message, Role, Usage
from cortexd.pool.affinity import affinity_of
from cortexd.pool.replica import Flight, Replica
from cortexd.pool.silence import patience_s
from cortexd.providers import Listener, make_provider

OFFICE = ProviderSettings("office", "openai", "http://127.0.0.1:1/v1", "m", local=True)
SHORT = Call("m", (Message(Role.USER, "hello"),), 20.0)
LONG = Call("m", (Message(Role.USER, "x" * 81920),), 20.0)


def endpoint() -> Replica:
    return Replica(OFFICE, make_provider(OFFICE, NetworkSettings(), max_answer_bytes=1))


def flight(began: float, first_at: float | None = None, call: Call = SHORT) -> Flight:
    task = asyncio.current_task()
    assert task is not None
    return Flight(call, Listener(first_at=first_at), began, task)


@contextmanager
def under_way(replica: Replica, *flights: Flight) -> Iterator[None]:
    for one in flights:
        replica.begin(one)
    yield
    for one in flights:
        replica.end(one)


def answered(replica: Replica, one: Flight) -> None:
    with under_way(replica, one):
        replica.answered(one, Answer("", "m", Usage(output_tokens=8)))


class TestQueueDelay:
    async def test_it_is_what_one_takes_after_the_other(self) -> None:
        """A server that gives a first token each second lets the next of five wait for five; one that gave as many
        at once lets nobody wait."""
        serial, batching = endpoint(), endpoint()
        now = time.monotonic()
        for number in range(30):
            answered(serial, flight(now - 40, now - 30 + number))
            answered(batching, flight(now - 2, now - 1))
        waiting = [flight(now) for _ in range(5)]
        with under_way(serial, *waiting), under_way(batching, *waiting):
            assert serial.queue_delay_s() == pytest.approx(5, rel=0.3)
            assert batching.queue_delay_s() < 0.1

    async def test_few_are_no_queue(self) -> None:
        """However long their prompts take."""
        slow, now = endpoint(), time.monotonic()
        answered(slow, flight(now - 30, now))
        with under_way(slow, *(flight(now) for _ in range(3))):
            assert slow.queue_delay_s() == 0
            assert slow.has_room

    async def test_who_hears_already_does_not_wait(self) -> None:
        """A long answer in the middle holds nobody's first token up."""
        busy, now = endpoint(), time.monotonic()
        answered(busy, flight(now - 30, now))
        with under_way(busy, *(flight(now, first_at=now) for _ in range(9))):
            assert busy.queue_delay_s() == 0


class TestPatience:
    async def test_one_slow_endpoint_makes_nobody_patient(self) -> None:
        """What is usual is what most endpoints take."""
        quick, other, slow = endpoint(), endpoint(), endpoint()
        now = time.monotonic()
        for replica, took in ((quick, 0.4), (other, 0.5), (slow, 9.0)):
            answered(replica, flight(now - took, now))
        assert patience_s(SHORT, (quick, other, slow), on_trial=False) == pytest.approx(5, rel=0.01)
        assert patience_s(SHORT, (quick, other, slow), on_trial=True) == pytest.approx(2, rel=0.01)

    async def test_a_long_prompt_has_more(self) -> None:
        """Ten times 8 KiB and one may take eleven times as long."""
        replica, now = endpoint(), time.monotonic()
        answered(replica, flight(now - 1, now))
        short, long = (patience_s(call, (replica,), on_trial=False) for call in (SHORT, LONG))
        assert long / short == pytest.approx(11, rel=0.01)

    def test_without_experience(self) -> None:
        """Nobody is given up before it is known what is usual."""
        assert patience_s(SHORT, (endpoint(),), on_trial=False) == 20


class TestAffinity:
    SYSTEM = Message(Role.SYSTEM, "You are terse. " * 100)

    def test_a_session_is_one_users_own(self) -> None:
        """Whatever its messages; and it does not show the name."""
        first = affinity_of(1000, "mine", SHORT.messages)
        assert first == affinity_of(1000, "mine", LONG.messages) != affinity_of(1001, "mine", SHORT.messages)
        assert "mine" not in first

    def test_a_long_beginning(self) -> None:
        """Calls with one long system prompt meet, whatever they ask; so do turns of one long conversation."""
        one, two = Message(Role.USER, "one"), Message(Role.USER, "two")
        assert affinity_of(1, None, (self.SYSTEM, one)) == affinity_of(2, None, (self.SYSTEM, two)) != ""
        later = (*LONG.messages, Message(Role.ASSISTANT, "yes"), one)
        assert affinity_of(1, None, LONG.messages) == affinity_of(1, None, later) != ""

    def test_a_short_beginning_is_none(self) -> None:
        """What is read anew in no time holds no call anywhere."""
        assert affinity_of(1, None, SHORT.messages) == ""
