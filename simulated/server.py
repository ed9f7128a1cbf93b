"""The HTTP server: instances by path, a request's way to its answer, and the control endpoint.

POST /{name}/.../v1/messages            Anthropic Messages
POST /{name}/.../chat/completions       OpenAI chat completions
POST /{name}/.../responses              OpenAI responses
GET /{name}/.../models                  the models; an instance that loads (503) says so on every path
POST /__control/{name}                  set a behaviour (a JSON object) or a sequence of them (an array)
GET /__control/{name}?last=N            counts, bills and the last N recorded requests
DELETE /__control/{name}                forget all of it
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from simulated.anthropic import AnthropicWire
from simulated.behaviour import Behaviour
from simulated.billing import KNOWN_MODELS
from simulated.delivery import Exchange
from simulated.instance import MAX_RECEIVED, Instance
from simulated.openai import OpenAIWire
from simulated.respond import respond
from simulated.responses import ResponsesWire
from simulated.servers import WIRES
from simulated.wire import JSON, Wire

_MAX_BODY = 32 * 1024 * 1024
_MAX_INSTANCES = 64
_NAME = "{name:[A-Za-z0-9_.-]+}"
_OPENAI = OpenAIWire()
_PATHS: dict[str, Wire] = {
    "v1/messages": AnthropicWire(),
    "chat/completions": _OPENAI,
    "responses": ResponsesWire(),
}


class Server:
    """All instances of one process. Its methods run on the server's own loop."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises OSError when the address is taken."""
        app = web.Application(client_max_size=_MAX_BODY)
        control = f"/__control/{_NAME}"
        app.router.add_get(control, self._get_state)
        app.router.add_post(control, self._set_behaviour)
        app.router.add_delete(control, self._reset)
        for suffix, wire in _PATHS.items():
            app.router.add_post(f"/{_NAME}/{{prefix:(?:.*/)?}}{suffix}", self._handler(wire))
        app.router.add_route("*", f"/{_NAME}/{{path:.+}}", self._look)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1024).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection; requests under way are cancelled."""
        if self._runner is not None:
            await self._runner.cleanup()

    def instance(self, name: str) -> Instance:
        """The instance of that name, made on first use. Raises ValueError past 64 of them."""
        if name not in self._instances:
            if len(self._instances) >= _MAX_INSTANCES:
                raise ValueError(f"at most {_MAX_INSTANCES} instances")
            self._instances[name] = Instance(name)
        return self._instances[name]

    def _named(self, request: web.Request) -> Instance:
        try:
            return self.instance(request.match_info["name"])
        except ValueError as error:
            raise web.HTTPNotFound(text=str(error)) from None

    def _handler(self, wire: Wire) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            instance = self._named(request)
            behaviour = instance.take_behaviour()
            spoken = WIRES[behaviour.server] if behaviour.server and wire is _OPENAI else wire
            exchange = Exchange(request, instance, spoken, behaviour, instance.next_serial())
            instance.arrive(request.transport)
            try:
                return await respond(exchange)
            except (asyncio.CancelledError, ConnectionError):
                instance.counts.client_aborts += not exchange.broken
                raise
            finally:
                instance.leave()

        return handle

    async def _look(self, request: web.Request) -> web.Response:
        """What is no question to a model: not recorded, and counted apart."""
        instance = self._named(request)
        behaviour = instance.next_behaviour()
        instance.counts.listed += request.path.endswith("/models")
        if behaviour.status == 503:
            wire = WIRES[behaviour.server] if behaviour.server else _OPENAI
            body = wire.error(503, behaviour, "")
            return web.Response(status=503, body=body, headers={"content-type": wire.media_type(503)})
        if request.method != "GET" or request.match_info["path"].rpartition("/")[2] != "models":
            raise web.HTTPNotFound
        if behaviour.listing is not None:
            return web.Response(text=behaviour.listing, content_type=JSON)
        known = behaviour.models or KNOWN_MODELS.get(instance.name, ())
        context = {"max_model_len": behaviour.context_tokens} if behaviour.context_tokens else {}
        rows = [{"id": model, "object": "model", "created": 0, "owned_by": instance.name, **context} for model in known]
        return web.json_response({"object": "list", "data": rows})

    async def _get_state(self, request: web.Request) -> web.Response:
        last = int(request.query.get("last", MAX_RECEIVED))
        return web.json_response(self._named(request).state(last))

    async def _set_behaviour(self, request: web.Request) -> web.Response:
        try:
            value = json.loads(await request.read())
            behaviours = [Behaviour.from_json(item) for item in (value if isinstance(value, list) else [value])]
            self._named(request).behave(behaviours)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"behaviours": len(behaviours)})

    async def _reset(self, request: web.Request) -> web.Response:
        self._named(request).reset()
        return web.json_response({})
