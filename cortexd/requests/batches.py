"""Many requests with one call and one authorization, a few at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cortexd.authority import Action, Caller
from cortexd.domain.tasks import TaskType
from cortexd.errors import BudgetExceeded, CortexError, InvalidArgument, RateLimited, Timeout, TooLarge
from cortexd.requests.intake import Request
from cortexd.requests.internal_errors import internal_error
from cortexd.requests.results import Completion
from cortexd.requests.service import Service
from cortexd.validation import parse_batch_options

_MAX_REPLY_BYTES = 24 * 1024 * 1024  # the bus drops a service that sends a message over 32 MiB
Item = Completion | CortexError


@dataclass(slots=True)
class _Room:
    """What the reply can still hold."""

    left: int = _MAX_REPLY_BYTES

    def fit(self, completion: Completion) -> Item:
        size = len(completion.content.encode("utf-8", "replace")) + 2048
        size += sum(len(call.arguments.encode("utf-8", "replace")) for call in completion.answer.tool_calls)
        if size > self.left:
            return TooLarge("The batch's answers are larger than one reply may be. Ask for this one alone.")
        self.left -= size
        return completion


class Batches:
    """CompleteBatch. A batch with a chosen request_id outlives its caller, as its requests then do."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._detached: set[asyncio.Task[list[Item]]] = set()

    async def complete(self, caller: Caller, requests: Sequence[tuple[str, object]], options: object) -> list[Item]:
        """Each request's answer or error, in order. Raises what concerns the batch as a whole."""
        parallel, shared = parse_batch_options(options)
        most = self._service.config.limits.max_batch_requests
        if len(requests) > most:
            raise TooLarge(f"requests: expected at most {most} (limits.max_batch_requests), got {len(requests)}")
        own_id = shared.get("request_id")
        decoded: list[Request | CortexError] = []
        for number, (task_type, messages) in enumerate(requests):
            item_options = shared if own_id is None else {**shared, "request_id": f"{own_id}.{number}"}
            decoded.append(self._decoded(caller, task_type, messages, item_options))
        await self._authorize(caller, [item for item in decoded if isinstance(item, Request)])
        work = self._answers(decoded, parallel)
        if own_id is None:
            return await work
        task = asyncio.create_task(work, name=f"batch {own_id}")
        caller.needed_by(task)
        return await self._outlive(task)

    def _decoded(self, caller: Caller, task_type: str, messages: object, options: object) -> Request | CortexError:
        try:
            return self._service.decode(caller, task_type, messages, options)
        except (InvalidArgument, TooLarge) as error:
            return error

    async def _authorize(self, caller: Caller, requests: Sequence[Request]) -> None:
        """One check per action that the batch needs; the privileged one names its task types."""
        needed: dict[Action, dict[TaskType, None]] = {}
        for request in requests:
            needed.setdefault(self._service.action(request.question), {})[request.question.task_type] = None
        for action, task_types in (needed or {Action.COMPLETE: {}}).items():
            await self._service.authorize(caller, action, tuple(task_types))

    async def _answers(self, decoded: Sequence[Request | CortexError], parallel: int) -> list[Item]:
        """Bounded as a whole by the longest deadline that a request may have; what is not done by then is Timeout."""
        bound_s = self._service.config.limits.max_deadline_ms / 1000
        results: list[Item] = [
            Timeout(f"The batch ended after {bound_s:g} s, before this was answered. Ask for it again.")
        ] * len(decoded)
        waiting = iter(enumerate(decoded))
        room = _Room()

        async def work() -> None:
            for number, item in waiting:
                results[number] = item if isinstance(item, CortexError) else await self._answer(item, room)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound_s), asyncio.TaskGroup() as group:
                for _ in range(min(parallel, len(decoded))):
                    group.create_task(work())
        return results

    async def _answer(self, request: Request, room: _Room) -> Item:
        # Its deadline begins with its turn, and so do the day that it counts for and the hour of its price.
        question = replace(request.question, moment=datetime.now(UTC))
        started = replace(request, question=question, began=time.monotonic())
        try:
            return room.fit(await self._patiently(started))
        except CortexError as error:
            error.__traceback__ = None
            return error
        except Exception:  # noqa: BLE001 - one request's fault of ours is that request's error
            return internal_error("in request %s of a batch", request.request_id)

    async def _patiently(self, request: Request) -> Completion:
        """As the service answers, after as many hints to wait as its deadline allows: nothing is spent by then."""
        while True:
            try:
                return await self._service.answer(request, authorised=True)
            except (BudgetExceeded, RateLimited) as error:
                wait_s = int(error.details.get("retry_after_ms", 0)) / 1000
                if not wait_s or wait_s > request.left_s:
                    raise
            await asyncio.sleep(wait_s)

    async def _outlive(self, task: asyncio.Task[list[Item]]) -> list[Item]:
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        return await asyncio.shield(task)
