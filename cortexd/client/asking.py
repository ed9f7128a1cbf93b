"""What a client asks the service for answers with: the half of AsyncClient that costs money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from cortexd.client.link import DEFAULT_TIMEOUT_S, Link
from cortexd.client.outgoing import Messages, messages_out, options_out, requests_out
from cortexd.client.raw import Body, RawAnswer, RawStream, body_out
from cortexd.client.results import Completion, answer_of
from cortexd.client.streams import Stream
from cortexd.client.subscription import Subscription
from cortexd.connection import MessageFlag, wire
from cortexd.errors import CortexError

_LONGEST_DEADLINE_MS = 3_600_000
_AT_A_TIME = 8  # requests of a batch, where its caller does not say
_SETTLING_S = 5.0  # what a busy service may take to answer Timeout after a request's deadline


class Asking:
    """See AsyncClient."""

    def __init__(
        self,
        bus: str = "system",
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        interactive: bool = False,
        start: bool = True,
    ) -> None:
        self.interactive = interactive
        self.timeout_s = timeout_s
        self._bus = bus
        self._starts = start
        self._link = Link(bus)
        self._open: WeakSet[Subscription | Stream | RawStream] = WeakSet()

    @property
    def unique_name(self) -> str:
        """Our name on the bus, by which polkit knows us; empty before connect() and after a loss."""
        return self._link.unique_name

    async def connect(self) -> Self:
        """Connect now and not with the first call. Raises ServiceUnavailable where the bus cannot be reached."""
        await self._link.connection()
        return self

    async def close(self) -> None:
        """Leave the bus, end subscriptions and streams. Requests under way end, but for those with a request_id."""
        for opened in list(self._open):
            await opened.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ask(self, prompt: str, task_type: str = "user_chat", **options: Any) -> str:
        """The answer to one prompt. Raises one of cortexd.errors, as every method does."""
        return (await self.complete(task_type, prompt, **options)).content

    async def complete(self, task_type: str, messages: Messages, **options: Any) -> Completion:
        """The answer to a conversation: message dictionaries, or one text for a single user message."""
        content, metadata = await self._call(
            "CompleteWithOptions",
            "saa{sv}a{sv}",
            self._request(task_type, messages, options),
            timeout_s=self.timeout_s + _SETTLING_S,
            ends_with_caller=not options.get("request_id"),
        )
        return Completion.of(content, metadata)

    def stream(self, task_type: str, messages: Messages, **options: Any) -> Stream:
        """The answer as it arrives: `async with client.stream(...) as stream`, then `async for piece in stream`.

        Leaving it ends the request, also one with a request_id.
        """
        self._link.refuse_if_closed()
        body = self._request(task_type, messages, options)

        async def begin() -> tuple[str, int]:
            return await self._begin("OpenStream", "saa{sv}a{sv}", body)

        stream = Stream(begin, self.timeout_s + _SETTLING_S)
        self._open.add(stream)
        return stream

    async def complete_raw(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None = None, **options: Any
    ) -> RawAnswer:
        """The answer to a body in a vendor's own words, in the same. `format`: openai, responses or anthropic; `body`:
        JSON text, which a provider of that API gets as it is but for the model, or a dictionary. `headers`:
        anthropic-beta, anthropic-version, openai-beta. What the body says itself is no option."""
        told, metadata = await self._call(
            "CompleteRaw",
            "sssa{sv}",
            self._raw_request(format, task_type, body, headers, options),
            timeout_s=self.timeout_s + _SETTLING_S,
            ends_with_caller=not options.get("request_id"),
        )
        return RawAnswer(told, Completion.of("", metadata))

    def raw_stream(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None = None, **options: Any
    ) -> RawStream:
        """The same as it arrives, where the body says `"stream": true`: pieces of the vendor's event stream."""
        self._link.refuse_if_closed()
        request = self._raw_request(format, task_type, body, headers, options)

        async def begin() -> tuple[str, int]:
            return await self._begin("OpenRawStream", "sssa{sv}", request)

        stream = RawStream(begin, self.timeout_s + _SETTLING_S)
        self._open.add(stream)
        return stream

    async def batch(self, requests: Iterable[tuple[str, Messages]], **options: Any) -> list[Completion | CortexError]:
        """The answers to many requests (task type and messages each), in their order, with one authorization.

        One that failed is its error, returned and not raised. The options hold for all; `parallel` (1 to 64) are asked
        at a time. With a request_id number n, from 0, goes by "request_id.n". `timeout_s` is for each of them.
        """
        rows = requests_out(requests)
        at_a_time = max(1, int(options.get("parallel") or _AT_A_TIME))
        rounds = max(1, -(-len(rows) // at_a_time))
        [answers] = await self._call(
            "CompleteBatch",
            "a(saa{sv})a{sv}",
            [rows, options_out(self._with_deadline(options))],
            timeout_s=self.timeout_s * rounds + _SETTLING_S,
            ends_with_caller=not options.get("request_id"),
        )
        return [answer_of(content, metadata) for content, metadata in answers]

    def _request(self, task_type: str, messages: Messages, options: dict[str, Any]) -> list[Any]:
        return [str(task_type), messages_out(messages), options_out(self._with_deadline(options))]

    def _raw_request(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None, options: dict[str, Any]
    ) -> list[Any]:
        wanted = {**self._with_deadline(options), "headers": dict(headers) if headers else None}
        return [str(format), str(task_type), body_out(body), options_out(wanted)]

    def _with_deadline(self, options: dict[str, Any]) -> dict[str, Any]:
        deadline_ms = max(1, round(self.timeout_s * 1000))
        if self.timeout_s == DEFAULT_TIMEOUT_S or deadline_ms > _LONGEST_DEADLINE_MS:
            return options
        return {**options, "deadline_ms": deadline_ms if options.get("deadline_ms") is None else options["deadline_ms"]}

    @property
    def _flags(self) -> MessageFlag:
        asking = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION if self.interactive else MessageFlag.NONE
        return asking if self._starts else asking | MessageFlag.NO_AUTOSTART

    async def _begin(self, member: str, signature: str, body: list[Any]) -> tuple[str, int]:
        timeout_s = self.timeout_s + _SETTLING_S
        return await self._link.call_for_stream(member, signature, body, timeout_s=timeout_s, flags=self._flags)

    async def _call(
        self,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        interface: str = wire.INTERFACE,
        timeout_s: float | None = None,
        ends_with_caller: bool = False,
    ) -> list[Any]:
        return await self._link.call(
            interface,
            member,
            signature,
            body,
            timeout_s=timeout_s or self.timeout_s,
            flags=self._flags,
            ends_with_caller=ends_with_caller,
        )
