"""The bridge's HTTP server: each body goes to the bus as it is, with what the bus needs to know beside it, and what
the bus answers in the words of the body's API goes back as it is.

aiohttp serves: it is a dependency already, its parser is in C, and a handler ends when its client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from cortexd.bridge import headers as words
from cortexd.bridge.connections import Connections
from cortexd.bridge.conversations import Conversations
from cortexd.bridge.failures import headers as failure_headers
from cortexd.bridge.failures import in_words
from cortexd.bridge.gate import Gate
from cortexd.bridge.lines import Line as BoundedLine
from cortexd.bridge.names import Names
from cortexd.bridge.posted import CHAT, MESSAGES, RESPONSES, Posted, read_posted
from cortexd.bridge.programs import Programs
from cortexd.client import AsyncClient, BytesEvent, HeadEvent, RawStream
from cortexd.errors import CortexError, Internal, InvalidArgument, RequestNotFound, TooLarge
from cortexd.formats import Format, decoded

_LARGEST = 64 * 1024 * 1024
_AT_A_TIME = 100  # the bus lets a connection wait for 128 replies
_EVENTS = {"content-type": "text/event-stream", "cache-control": "no-cache"}


@dataclass(slots=True)
class Bridge:
    """`token`: what programs have to give on a loopback port, "" where there is none. `uid`: whose bridge this is.
    `client` tells what there is to ask for, `connections` ask.

    `app`: the one program that it is for. `model` answers where an unknown one is asked for; `task`: what requests are
    for that do not say."""

    client: AsyncClient
    connections: Connections
    uid: int
    token: str = ""
    app: str = ""
    model: str = ""
    task: str = ""
    under_way: int = 0
    _names: Names = field(init=False)
    _programs: Programs = field(init=False)
    _conversations: Conversations = field(default_factory=Conversations)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    def __post_init__(self) -> None:
        self._names = Names(self.client, self.model, self.task)
        self._programs = Programs(self.app)

    def application(self) -> web.Application:
        gate = Gate(self.uid, self.token).before(lambda request, error: _failed(_form_of(request), error))
        app = web.Application(client_max_size=_LARGEST, middlewares=[gate])
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._in(CHAT, self._complete)),
                web.post("/chat/completions", self._in(CHAT, self._complete)),
                web.post("/v1/responses", self._in(RESPONSES, self._complete)),
                web.post("/responses", self._in(RESPONSES, self._complete)),
                web.post("/v1/messages", self._in(MESSAGES, self._complete)),
                web.post("/v1/messages/count_tokens", self._in(MESSAGES, self._count)),
                web.get("/v1/models", self._models),
                web.get("/models", self._models),
                web.get("/health", self._health),
                web.get("/", self._health),
                web.route("*", "/{path:.*}", self._nowhere),
            ]
        )
        return app

    def _in(
        self, form: Format, answer: Callable[[web.Request, Posted], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler that reads a body of `form`, and says every failure in it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.under_way += 1
            try:
                return await answer(request, read_posted(form, await _body(request), self._conversations))
            except CortexError as error:
                return _failed(form, error)
            except RecursionError:
                return _failed(form, InvalidArgument("The body nests too deeply."))
            finally:
                self.under_way -= 1

        return handle

    async def _complete(self, request: web.Request, posted: Posted) -> web.StreamResponse:
        program = await self._programs.behind(request.transport)
        named = await self._names.resolve(posted.model, program.name if program else "")
        task = named.task_type or request.headers.get(words.TASK) or named.usual_task
        labels = {"labels": program.labels} if program else {}
        asking = (posted.form.name, task, posted.body, words.passed(request.headers))
        options = {**named.options, **words.said(request.headers, posted.session), **labels}
        if posted.stream:
            async with self.connections.one() as client:
                return await self._stream(request, posted, client.raw_stream(*asking, **options))
        async with self._room, self.connections.one() as client:
            answer = await client.complete_raw(*asking, **options)
        body = answer.body.encode()
        if posted.keeps:
            self._conversations.keep(posted.body, body)
        return _sent(body, 200, words.told(answer.completion))

    async def _stream(self, request: web.Request, posted: Posted, stream: RawStream) -> web.StreamResponse:
        """What fails before its first bytes has a status of its own; what fails later ends them."""
        response: web.StreamResponse | None = None
        async with self._room:
            await stream.open()
        async with stream:
            try:
                async for event in stream.events():
                    if isinstance(event, HeadEvent):
                        response = web.StreamResponse(headers=_EVENTS | words.told_ahead(stream.request_id, event))
                        await response.prepare(request)
                    elif isinstance(event, BytesEvent) and response is not None:
                        await response.write(event.data)
                        if posted.keeps:
                            self._conversations.keep_streamed(posted.body, event.data)
            except CortexError as error:
                if response is None:
                    raise
                if not stream.told:
                    await response.write(posted.form.failed(error))
        if response is None:
            raise Internal("The service ended a stream without a word.")
        await response.write_eof()
        return response

    async def _count(self, request: web.Request, posted: Posted) -> web.StreamResponse:
        """By the router's forecast, which knows each model's share of letters to tokens."""
        asked = posted.form.asked(decoded(posted.body))
        program = await self._programs.behind(request.transport)
        named = await self._names.resolve(asked.model, program.name if program else "")
        task = named.task_type or named.usual_task
        decision = await self.client.route(task, asked.messages, **{**asked.options, **named.options})
        known = [item.input_tokens for item in decision.candidates if item.input_tokens is not None]
        return _json({"input_tokens": known[0] if known else len(posted.body) // 4}, 200, {})

    async def _models(self, request: web.Request) -> web.StreamResponse:
        form = _form_of(request)
        try:
            names = await self._names.all()
        except CortexError as error:
            return _failed(form, error)
        if form is MESSAGES:
            rows = [{"type": "model", "id": name, "display_name": name, "created_at": _BEGINNING} for name in names]
            return _json({"data": rows, "has_more": False, "first_id": names[0], "last_id": names[-1]}, 200, {})
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "cortexd"} for name in names]
        return _json({"object": "list", "data": models}, 200, {})

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        return _failed(_form_of(request), RequestNotFound(f"The bridge has no {request.method} {request.path:.200}."))

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        """That it is there, and whether all that is wished of it is understood."""
        problems = self._names.problems
        amiss = {"problems": problems, "next_step": "cortexctl bridge check"} if problems else {}
        return _json({"status": "ok", **amiss}, 200, {})


_BEGINNING = "1970-01-01T00:00:00Z"  # when models appeared is not known


async def _body(request: web.Request) -> bytes:
    """Raises InvalidArgument or TooLarge."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"The body may have {_LARGEST} bytes at most.") from None
    except web.RequestPayloadError:
        raise InvalidArgument("The body is not coded as its headers say.") from None


def _form_of(request: web.BaseRequest) -> Format:
    """Of a path that has none of its own."""
    anthropic = "anthropic-version" in request.headers or request.path.startswith("/v1/messages")
    return MESSAGES if anthropic else CHAT


def _failed(form: Format, error: CortexError) -> web.Response:
    status, body = form.error(in_words(error))
    return _json(body, status, failure_headers(error))


class Line(BoundedLine):
    """An HTTP connection: what goes wrong before a handler knows of it, or in one, is said in a form too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc  # the program has left, which is no fault: aiohttp ends the connection
        super().handle_error(request, status, exc, message)  # the log, and whether anything can still be said
        known = status < 500
        error = InvalidArgument("The bridge cannot read this HTTP.") if known else Internal("The bridge failed.")
        told = _failed(_form_of(request), error)
        told.force_close()
        return told


def _json(body: object, status: int, headers: dict[str, str]) -> web.Response:
    return _sent(msgspec.json.encode(body), status, headers)


def _sent(body: bytes, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
