"""Steers and reads simulated providers that run in another process, over HTTP. Standard library only."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from simulated.behaviour import Behaviour
from simulated.billing import Bill
from simulated.instance import MAX_RECEIVED, Counts, Received

_TIMEOUT_S = 10.0


class ControlClient:
    """`base` is `http://HOST:PORT`. Methods raise OSError when nobody listens, ValueError for a refusal."""

    def __init__(self, base: str) -> None:
        address = urlsplit(base)
        self._host = address.hostname or "127.0.0.1"
        self._port = address.port or 80

    def url(self, name: str, wire: str | None = None) -> str:
        """The base URL of an instance, see `base_url`."""
        return base_url(f"http://{self._host}:{self._port}", name, wire)

    def behave(self, name: str, *behaviours: Behaviour) -> None:
        """Behaviours with `times` come first, in order, and replace any still waiting; one without `times` stays."""
        self._call("POST", name, [behaviour.to_json() for behaviour in behaviours])

    def reset(self, name: str) -> None:
        self._call("DELETE", name)

    def counts(self, name: str) -> Counts:
        return Counts(**self._call("GET", f"{name}?last=0")["counts"])

    def billed(self, name: str) -> Bill:
        return Bill.from_json(self._call("GET", f"{name}?last=0")["billed"])

    def billed_undelivered(self, name: str) -> Bill:
        return Bill.from_json(self._call("GET", f"{name}?last=0")["billed_undelivered"])

    def received(self, name: str, last: int = MAX_RECEIVED) -> list[Received]:
        return [Received(**request) for request in self._call("GET", f"{name}?last={last}")["received"]]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"/__control/{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer


def base_url(base: str, name: str, wire: str | None = None) -> str:
    """What an SDK takes as base_url: `BASE/NAME` for wire "anthropic", `BASE/NAME/v1` for "openai" and "responses".

    Without `wire`, the instances "claude" and "anthropic" speak Anthropic and all others OpenAI.
    """
    wire = wire or ("anthropic" if name in ("claude", "anthropic") else "openai")
    return f"{base}/{name}" if wire == "anthropic" else f"{base}/{name}/v1"
