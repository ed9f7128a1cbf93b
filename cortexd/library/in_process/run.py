"""One request: each provider of the plan asked once, what it answered, and what all of them said when none did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from cortexd.catalog import Catalog
from cortexd.config import ProviderSettings
from cortexd.domain.messages import Answer, Call, Usage
from cortexd.domain.money import to_usd
from cortexd.errors import ProviderError
from cortexd.library.errors import NOBODY, ProviderFailedError, ProvidersFailedError
from cortexd.library.in_process.calling import Request, answer_in, as_dictionary, is_answer, request_of
from cortexd.library.in_process.experience import Experience
from cortexd.library.in_process.failures import failure_of
from cortexd.library.in_process.reader import StreamReader
from cortexd.library.keys import OF_THE_KEY, Keys
from cortexd.library.types import LLMProvider, LLMResponse
from cortexd.providers.framing import read_body
from cortexd.providers.kinds import ApiKind, api_kind
from cortexd.providers.refusals import Refusals
from cortexd.routing import Candidate, Fallback, LeftOut, Question
from cortexd.routing.continuing import Seam, Told, goes_on, to_go_on

_UNKNOWN = float("nan")
Book = Callable[[LLMProvider, int, int | None], None]


@dataclass(slots=True)
class Run:
    """`falls_back`: whether a failure leads on to the next provider, and to an error of ours when there is none.
    `told`: what a stream's consumer has had, where another model may go on with it (on_break). `again`: a candidate for
    another question than was planned. `response`: the answer, once there is one."""

    question: Question
    fallback: Fallback
    falls_back: bool
    providers: dict[str, ProviderSettings]
    catalog: Catalog
    experience: Experience
    book: Book
    max_answer_bytes: int
    refusals: Mapping[str, Refusals]
    keys: Keys
    again: Callable[[Question, Candidate], Candidate | LeftOut]
    stream: bool = False
    told: Told | None = None
    errors: dict[LLMProvider, Exception] = field(default_factory=dict)
    response: LLMResponse | None = None

    def exchanges(self) -> Iterator[Exchange]:
        """An exchange with each provider whose turn it is. Raises ProvidersFailedError after the last one in vain."""
        for candidate in self.turns():
            yield from self.exchanges_with(candidate)

    def turns(self) -> Iterator[Candidate]:
        """Whose turn it is. Raises ProvidersFailedError after the last one in vain."""
        yield from self.fallback.turns()
        if self.response is None:
            raise self._all_failed()

    def exchanges_with(self, planned: Candidate) -> Iterator[Exchange]:
        """With each key that it wants to be asked with; with none where it cannot go on with what was told."""
        question, made = self._turn(planned)
        if isinstance(made, LeftOut):
            self.fallback.skip(planned, made.reason)
            return
        turns = self.keys.turns(planned.provider)
        for position, key in enumerate(turns, 1):
            exchange = self._exchange(question, made, key, last=position == len(turns))
            yield exchange
            if not exchange.wants_another_key:
                break

    def _turn(self, planned: Candidate) -> tuple[Question, Candidate | LeftOut]:
        if self.told is None or not self.told.text:
            return self.question, planned
        question, _ = to_go_on(self.question, self.told, planned)
        return question, self.again(question, planned)

    def _exchange(self, question: Question, candidate: Candidate, key: int, *, last: bool) -> Exchange:
        """Raises ProviderError where the request cannot be written in the vendor's words."""
        settings = self.providers[candidate.provider]
        kind, options = api_kind(settings.api), question.options
        call = Call(
            model=candidate.model,
            messages=question.messages,
            timeout_s=settings.timeout_s,
            max_tokens=candidate.max_tokens,
            temperature=options.temperature,
            tools=options.tools,
        )
        quirks = self.refusals[candidate.provider].quirks(candidate.model)
        request = request_of(kind, call, quirks, stream=self.stream)
        seam = Seam(self.told.text, "") if self.told is not None and self.told.text else None
        return Exchange(self, candidate, key, last, settings, kind, call, request, seam)

    def goes_on(self) -> bool:
        """Whether another model may go on with what the consumer has had."""
        return goes_on(self.told, self.question)

    def _all_failed(self) -> ProvidersFailedError:
        error = ProvidersFailedError(f"{NOBODY} {'; '.join(self.fallback.said())}", self.errors)
        error.__cause__ = next(reversed(self.errors.values()), None)
        return error


@dataclass(slots=True)
class Exchange:
    """One call to one provider. What goes wrong in its `with` block leads on to the next one, or comes out of it.

    `key`: which of the provider's keys. `given`: the consumer of a stream has had a piece.
    """

    run: Run
    candidate: Candidate
    key: int
    last_key: bool
    settings: ProviderSettings
    kind: ApiKind
    call: Call
    request: Request
    seam: Seam | None = None
    began: float = 0.0
    given: bool = False
    wants_another_key: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        return isinstance(error, Exception) and self._failed(error)

    def create(self, client: Any) -> Any:
        """What the SDK's method returns, or an awaitable of it."""
        self.began = time.monotonic()
        return self.kind.sdk_call.method(client)(**self.request.arguments)

    def adapts(self, error: Exception) -> bool:
        """Whether the call goes again, since a refusal has told what this model does not take."""
        refusals, model = self.run.refusals[self.candidate.provider], self.candidate.model
        status, response = getattr(error, "status_code", None), getattr(error, "response", None)
        body = getattr(response, "content", None)
        if not isinstance(status, int) or not isinstance(body, bytes):
            return False
        refused = self.request.arguments
        while self.request.arguments == refused:
            if not refusals.learn(model, self.request.quirks, status, body):
                return False
            self.request = request_of(self.kind, self.call, refusals.quirks(model), stream=self.run.stream)
        return True

    def is_whole(self, given: Any) -> bool:
        """Whether the method gave the answer itself and no stream of events."""
        return not self.request.streamed or is_answer(self.kind, given)

    def reader(self) -> StreamReader:
        return StreamReader(self.kind, self.candidate.model, self.run.max_answer_bytes)

    def took_whole(self, given: Any) -> list[str]:
        """Book the answer in the SDK's object. Returns its text, if any. Raises ProviderError."""
        return self._took(answer_in(self.kind, given, self.candidate.model), given)

    def took_body(self, body: bytes) -> list[str]:
        """The same of a response's body, which may be a stream that was not called one."""
        model, max_bytes = self.candidate.model, self.run.max_answer_bytes
        answer = read_body(
            body, "", lambda whole: self.kind.read(whole, model), lambda: self.kind.collector(model, max_bytes)
        )
        return self._took(answer)

    def _took(self, answer: Answer, raw: Any = None) -> list[str]:
        text = self.passed(answer.content) + self.rest()
        self.answered(answer, raw)
        return [text] if text else []

    def passed(self, piece: str) -> str:
        """What of a piece goes out to whoever asked for a stream."""
        return self._given(piece if self.seam is None else self.seam.take(piece))

    def rest(self) -> str:
        """What is still to go out at the end."""
        return "" if self.seam is None else self._given(self.seam.close())

    def _given(self, text: str) -> str:
        if text and self.run.stream:
            self.given = True
            if self.run.told is not None:
                self.run.told.take([text])
        return text

    def answered(self, answer: Answer, raw: Any = None) -> None:
        """Book the answer and make it the run's response."""
        answer = self.request.body.own_answer(answer)
        took_s = time.monotonic() - self.began
        task = self.run.question.task_type.value
        self.run.experience.answered(self.candidate, task, answer.usage, took_s, whole=not self.run.stream)
        if self.seam is not None:
            answer = self.seam.answer(answer, None)
        self.run.fallback.answered(self.candidate)
        self.run.keys.answered(self.candidate.provider, self.key)
        provider, tokens, nano = self._booked(answer.usage)
        response = LLMResponse(
            content=answer.content,
            provider=provider,
            model=answer.model,
            tokens_used=tokens,
            cost_usd=_UNKNOWN if nano is None else to_usd(nano),
            latency_seconds=took_s,
            raw_response=as_dictionary(self.kind, raw),
            tool_calls=[
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.tool_calls
            ],
            finish_reason=answer.finish_reason,
            dropped_options=answer.dropped_options,
            reasoning_content=answer.reasoning,
        )
        self.run.response = self.run.response or response  # of two that were asked the quicker one's

    def cut(self, usage: Usage | None) -> None:
        """Book what the provider had reported of what was given out; nothing where it had reported nothing."""
        if self.given and usage is not None:
            self._booked(usage)

    def _failed(self, error: Exception) -> bool:
        """Note the failure. True to go on; False where `error` is for the caller to see as it is."""
        run = self.run
        failure = failure_of(error, [key.reveal() for key in run.keys.of(self.candidate.provider)])
        self.wants_another_key = failure.failure in OF_THE_KEY and not self.last_key and not self.given
        if self.wants_another_key:
            return True
        run.fallback.failed(self.candidate, failure)
        if run.falls_back and (not self.given or run.goes_on()):
            run.errors[LLMProvider(self.candidate.provider)] = error
            return True
        if isinstance(error, ProviderError):
            raise ProviderFailedError(run.fallback.said()[-1])
        return False

    def _booked(self, usage: Usage | None) -> tuple[LLMProvider, int, int | None]:
        name, model, run = self.candidate.provider, self.candidate.model, self.run
        nano = None if usage is None else run.catalog.cost(name, model, usage, run.question.moment)
        tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
        run.book(LLMProvider(name), tokens, nano)
        return LLMProvider(name), tokens, nano
