"""A web server of somebody who means harm, before a bridge: it serves a page, notes requests, and passes them on.

A browser that was led to 127.0.0.1 by a name (DNS rebinding) sends the bridge just what it sends here.
"""

from __future__ import annotations

import json
import queue
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE, RESULT = "/the-page", "/the-result"
_HTML = Path(__file__).with_name("page.html")
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class Relay:
    """`heads`: all that came for the bridge; `statuses`: what it answered; `results`: what pages told of themselves."""

    bridge: int
    port: int = 0
    heads: list[Head] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    results: queue.Queue[Any] = field(default_factory=queue.Queue)

    def serve(self, line: socket.socket, stream: Any) -> None:
        head, raw = _read_head(stream)
        if head is None:
            return
        body = stream.read(int(head.get("content-length") or 0))
        path = head.target.partition("?")[0]
        if path == PAGE:
            _answer(line, "text/html; charset=utf-8", _HTML.read_bytes())
        elif path == RESULT:
            self.results.put(json.loads(body))
            _answer(line, "text/plain", b"thanks")
        elif path == "/favicon.ico":
            _answer(line, "image/png", b"")
        else:
            self.heads.append(head)
            self._pass_on(line, raw + body)

    def _pass_on(self, line: socket.socket, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.bridge), timeout=_ANSWER_S) as bridge:
            bridge.sendall(request)
            with bridge.makefile("rb") as told:
                answer = told.read()
        self.statuses.append(int(answer.split(maxsplit=2)[1]) if answer else 0)
        line.sendall(answer)


@contextmanager
def relaying(bridge: int) -> Iterator[Relay]:
    relay = Relay(bridge)

    class Handler(socketserver.StreamRequestHandler):
        timeout = _ANSWER_S

        def handle(self) -> None:
            try:
                relay.serve(self.request, self.rfile)
            except OSError:  # the browser has left
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        relay.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield relay
        finally:
            server.shutdown()


def _read_head(stream: Any) -> tuple[Head | None, bytes]:
    """The head, and its bytes with one request to a connection."""
    first = stream.readline()
    if not first.strip():
        return None, b""
    lines = []
    while (line := stream.readline()).strip():
        lines.append(line)
    method, target, _ = first.decode("latin-1").split(" ", 2)
    pairs = [line.decode("latin-1").rstrip("\r\n").partition(": ") for line in lines]
    kept = [line for line in lines if b"pgrade" in line or not line.lower().startswith(b"connection:")]
    closing = [] if len(kept) == len(lines) else [b"Connection: close\r\n"]
    head = Head(method, target, tuple((name, value) for name, _, value in pairs))
    return head, b"".join([first, *kept, *closing, b"\r\n"])


def _answer(line: socket.socket, kind: str, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    line.sendall(head.encode() + body)
