"""A provider of several endpoints, or of one with a limit: chooses one for each call, and another where it fails.

Who is asked again, and what that costs:

- What cannot have cost anything (never sent, or refused with a status) goes to another endpoint here and now, after a
  jittered moment: nobody above hears of it.
- What may have cost something, of which the caller has heard nothing yet (cut off, timed out, given up because its
  endpoint hangs), is raised with `ProviderError.again`. Whoever asked books that try at the most that it can have cost,
  reserves what the next may cost, and asks again with the endpoint in `Call.avoids`. So every try that may be billed
  has an attempt of its own in the ledger, and no call here ever pays twice.
- Where the caller has heard a word it is the same: he knows whether another endpoint may begin again or go on.

An endpoint that does not have the model is no failing one: another is asked, and for a while those that have it alone.
Each further try takes from the pool's retry budget. Where no other endpoint may be asked, the error is the provider's,
as of one without a pool; local endpoints that all load their model, or are just starting, are waited for as a single
one is. A breaker here demotes: where all are open, somebody is asked all the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from cortexd.config.replicas import endpoints
from cortexd.config.settings import ANY_MODEL, NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.domain.retry_budget import RetryBudget
from cortexd.domain.served import ServedModel
from cortexd.errors import Failure, ProviderError
from cortexd.pool.balancer import chosen, usual_pace
from cortexd.pool.listing import ask_all, listed_elsewhere
from cortexd.pool.probe import Probes
from cortexd.pool.replica import Flight, Replica
from cortexd.pool.replica_health import ReplicaState, lacks_model, marks
from cortexd.pool.silence import Watch, patience_s
from cortexd.pool.view import ReplicaView
from cortexd.pool.waiting import Waiting
from cortexd.providers import Listener, Provider, make_provider
from cortexd.providers.starting import Starting, pauses

_JITTER_S = 0.02
_RETRIES_PER_CALL, _RETRIES_PER_S, _MOST_RETRIES = 0.2, 1.0, 20.0
_PLAIN = ProviderSettings("", "", "", "")


class Pool:
    """A Provider. `replicas` are its own until another pool takes them over (make_pool). `on_models` is called when an
    endpoint that is back has models that were not said before."""

    def __init__(self, settings: ProviderSettings, replicas: Sequence[Replica]) -> None:
        self.name = settings.name
        self.replicas = tuple(replicas)
        self._settings = settings
        self._retries = retry_budget()
        self._waiting = Waiting(lambda call: self._place_for(call))
        self._starting = Starting(local=settings.local)
        self._draw = random.Random()  # noqa: S311 - no secret
        self._probes = Probes(self._returned)
        self._said: frozenset[str] | None = None
        self.on_models: Callable[[], None] | None = None
        self._lent: set[Replica] = set()
        self._closed = False
        for item in self.replicas:
            item.on_free.append(self._waiting.serve)

    @property
    def ready(self) -> bool:
        return any(item.provider.ready for item in self.replicas)

    async def complete(self, call: Call, listener: Listener | None = None) -> Answer:
        listener = listener or Listener()
        self._retries.called()
        self._look_after_others()
        avoids, began, pause = call.avoids, time.monotonic(), pauses()
        while True:
            item = await self._place(replace(call, avoids=avoids) if avoids else call, listener)
            try:
                answer = await self._attempt(item, call, listener)
            except ProviderError as error:
                if not lacks_model(error):  # whom it is remembered of, and who is not outdone by another one's answer
                    avoids |= {item.id}
                if error.again:  # it hung, and a try was granted
                    raise
                if self._goes_on(error, call, avoids):
                    pause_s = self._draw.uniform(0, _JITTER_S)
                elif self._waits_for_start(error, time.monotonic() - began):
                    avoids, pause_s = call.avoids, next(pause)
                else:
                    raise
                if error.may_have_billed or _was_heard(listener):
                    error.again = item.id
                    raise
            else:
                self._outdone(avoids)
                return answer
            listener.unsent = True
            await asyncio.sleep(pause_s)

    def full(self, model: str = "", *, local_only: bool = False) -> str:
        """Why a call would not be taken at once, in words; "" where there is a place."""
        call = Call(model, (), 0.0, local_only=local_only)
        items = self._admitted(call)
        if not items or any(self._has_room(item) for item in items):
            return ""
        known = [item.most for item in items if item.most is not None]
        if len(known) == len(items):
            return f"{sum(item.in_flight for item in items)} of {sum(known)} places are taken"
        return f"a call would wait longer than {self._settings.queue_delay_s:g} s for its first token"

    def view(self) -> tuple[ReplicaView, ...]:
        """Each endpoint, in the order of the configuration."""
        loads = [item.load(None) for item in self.replicas]
        whole = sum(load.weight * load.share for load in loads if load.share) or 1.0
        views = [
            item.view(round(load.weight * load.share / whole, 3))
            for item, load in zip(self.replicas, loads, strict=True)
        ]
        names = [item.credential or "" for item in self._settings.replicas] or [""]
        return tuple(replace(view, credential=name) for view, name in zip(views, names, strict=True))

    async def models(self) -> tuple[ServedModel, ...]:
        """What the endpoints say together, of all that answer."""
        models = await ask_all(self.replicas)
        self._said = frozenset(model.id for model in models)
        return models

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waiting.end(lambda: ProviderError(Failure.CONNECTION, "the provider is closed"))
        await self._probes.end()
        for item in self.replicas:
            item.on_free.remove(self._waiting.serve)
            if item not in self._lent:
                await item.provider.aclose()

    def lend(self, settings: ProviderSettings, *, alone: bool) -> Replica | None:
        """The endpoint with these settings, with its connections and all that is known of it, for another pool."""
        wanted = _of_connections(settings)
        found = next((item for item in self.replicas if _of_connections(item.settings) == wanted), None)
        if found is None or alone != (len(self.replicas) == 1):
            return None
        self._lent.add(found)
        return found

    def _returned(self) -> None:
        """An endpoint is there again, and has said its models."""
        self._waiting.serve()
        known = frozenset().union(*(item.listed or () for item in self.replicas))
        if self.on_models is not None and self._said is not None and not known <= self._said:
            self.on_models()

    def _look_after_others(self) -> None:
        """Where there are several, those that were left alone may be there again."""
        if len(self.replicas) > 1:
            for item in self.replicas:
                self._probes.begin(item)

    async def _place(self, call: Call, listener: Listener) -> Replica:
        """An endpoint with a place held for the call. Raises ProviderError (at capacity)."""
        listener.unsent = True
        self._waiting.serve()
        item = self._place_for(call)
        if item is not None:
            item.held += 1
            return item
        if not call.waits or len(self._waiting) >= self._settings.max_queued:
            raise self._at_capacity(call)
        return await self._waiting.place(call)

    def _at_capacity(self, call: Call) -> ProviderError:
        words = self.full(call.model, local_only=call.local_only) or "all places are taken"
        if call.waits:
            words = f"{words}, and {len(self._waiting)} requests wait for a place"
        return ProviderError(Failure.FULL, words)

    def _place_for(self, call: Call) -> Replica | None:
        """The endpoint that the call goes to now; None where all that may be asked are full."""
        now = time.monotonic()
        items = [item for item in self._admitted(call) if self._has_room(item)]
        if not items:
            return None
        trial = next((item for item in items if item.health.state(now) is ReplicaState.PROBING), None)
        if trial is not None and not call.avoids:
            return trial
        usual = usual_pace([item.load(None) for item in items])
        best = chosen([item.load(usual, call.affinity) for item in items], call.affinity, self._draw)
        return next(item for item in items if item.id == best.id)

    def _admitted(self, call: Call) -> list[Replica]:
        """Who may be asked: those whose breaker is closed; where there is none, whoever may be open for bad prompts
        alone, or else the one that is due first."""
        able = [item for item in self.replicas if item.takes(call)]
        able = [item for item in able if not self._lacks(item, call.model)] or able
        items = [item for item in able if item.id not in call.avoids] or able
        admitted = [item for item in items if item.admits()]
        if admitted or not items:
            return admitted
        doubtful = [item for item in items if not item.health.certain]
        return doubtful or [min(items, key=lambda item: item.health.open_until)]

    def _lacks(self, item: Replica, model: str) -> bool:
        """By what it answered; and by its list, where the lists decide what is asked for ("*"): who is told a name by
        the operator may have the model under another one."""
        listing = self._settings.model == ANY_MODEL
        return item.lacks(model) or (listing and listed_elsewhere(item, model, self.replicas))

    def _has_room(self, item: Replica) -> bool:
        return item.has_room and item.queue_delay_s() <= self._settings.queue_delay_s

    async def _attempt(self, item: Replica, call: Call, listener: Listener) -> Answer:
        """One try. The place that was held is the flight's."""
        task = asyncio.current_task()
        assert task is not None, "a call needs a task"
        listener.unsent = False
        flight = Flight(call, listener, time.monotonic(), task, telling=item.provider.ready)
        item.held -= 1
        item.begin(flight)
        watch = self._watch(item, flight)
        try:
            answer = await self._answer(item, flight, task)
        except ProviderError as error:
            item.failed(flight, error)
            raise
        except BaseException:
            item.left(flight)
            raise
        else:
            item.answered(flight, answer)
            return answer
        finally:
            if watch is not None:
                watch.end()
            item.end(flight)

    def _watch(self, item: Replica, flight: Flight) -> Watch | None:
        """Where there is another endpoint to move the call to."""
        if len(self.replicas) == 1:
            return None
        patience = patience_s(flight.call, self.replicas, on_trial=item.health.on_trial)
        return Watch(item, flight, patience, lambda: self._hangs(item, flight))

    async def _answer(self, item: Replica, flight: Flight, task: asyncio.Task[object]) -> Answer:
        """As of the endpoint's provider; where the flight is moved meanwhile, that is a timeout."""
        cancelling = task.cancelling()
        try:
            return await item.provider.complete(flight.call, flight.listener)
        except asyncio.CancelledError:
            if not flight.moved or task.uncancel() > cancelling:
                raise
            waited = time.monotonic() - flight.began
            message = f"no first token within {waited:.1f} s, while others had theirs"
            raise ProviderError(Failure.TIMEOUT, message, may_have_billed=True, again=item.id) from None

    def _hangs(self, item: Replica, flight: Flight) -> bool:
        """Give the endpoint nothing more, and move the calls that wait for a first token there, as far as the retry
        budget goes. False where this one stays."""
        if not self._others(flight.call, {item.id}):
            return False
        item.health.hangs(time.monotonic(), flight.began)
        for silent in self._silent(item):
            if self._others(silent.call, {item.id}) and self._retries.take():
                silent.moved = True
                silent.task.cancel()
        return flight.moved

    @staticmethod
    def _silent(item: Replica) -> list[Flight]:
        flights = [flight for flight in item.flights if flight.heard_at is None and not flight.moved]
        return sorted(flights, key=lambda flight: flight.began)

    def _others(self, call: Call, tried: Collection[str]) -> list[Replica]:
        """Who else may be asked now, and may have the model."""
        able = [item for item in self.replicas if item.takes(call) and not self._lacks(item, call.model)]
        return [item for item in able if item.id not in tried and item.admits()]

    def _outdone(self, tried: Collection[str]) -> None:
        """Another endpoint has answered what these could not: that was no prompt's doing."""
        for item in self.replicas:
            if item.id in tried:
                item.health.outdone(time.monotonic())

    def _waits_for_start(self, error: ProviderError, waited_s: float) -> bool:
        """A single endpoint is waited for below."""
        return len(self.replicas) > 1 and not self._closed and self._starting.waits(error, waited_s)

    def _goes_on(self, error: ProviderError, call: Call, tried: Collection[str]) -> bool:
        """Whether another endpoint shall be asked for what this one failed at."""
        if self._closed or not (marks(error) or lacks_model(error)):
            return False
        if not self._others(call, tried):
            return False
        error.retry_after_ms = None  # it speaks for one endpoint
        return self._retries.take()


def retry_budget(clock: Callable[[], float] = time.monotonic) -> RetryBudget:
    """For tries at another endpoint: a fifth of the calls, one a second where they are few, twenty at once."""
    return RetryBudget(_RETRIES_PER_CALL, _RETRIES_PER_S, _MOST_RETRIES, _MOST_RETRIES, clock)


def make_pool(
    settings: ProviderSettings, network: NetworkSettings, *, max_answer_bytes: int, before: Provider | None = None
) -> Pool:
    """A pool for `settings`; endpoints that a pool `before` it has, too, go on with their connections and all that is
    known of them."""
    ends = endpoints(settings)
    weights = [item.weight for item in settings.replicas] or [1.0]
    earlier = before if isinstance(before, Pool) else None
    replicas = []
    for end, weight in zip(ends, weights, strict=True):
        replica = earlier.lend(end, alone=len(ends) == 1) if earlier else None
        if replica is None:
            made = make_provider(end, network, max_answer_bytes=max_answer_bytes, alone=len(ends) == 1)
            replica = Replica(end, made)
        replica.weight, replica.most = weight, end.max_in_flight
        replicas.append(replica)
    return Pool(settings, replicas)


def _was_heard(listener: Listener) -> bool:
    return listener.hear is not None and listener.first_at is not None


def _of_connections(settings: ProviderSettings) -> ProviderSettings:
    """Without what says nothing of how the endpoint is reached."""
    return replace(
        settings,
        max_in_flight=None,
        max_queued=_PLAIN.max_queued,
        queue_delay_s=_PLAIN.queue_delay_s,
        model="",
        models={},
        rate=None,
    )
