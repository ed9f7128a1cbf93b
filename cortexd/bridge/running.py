"""The bridge as a process: its sockets, its key, and its end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from cortexd.bridge import listening, places
from cortexd.bridge.connections import Connections
from cortexd.bridge.key import make_key, read_key
from cortexd.bridge.lines import Lines
from cortexd.bridge.server import Bridge, Line
from cortexd.bridge.serving import Acceptor, serve
from cortexd.client import AsyncClient
from cortexd.errors import CortexError

_DRAIN_S, _DRAIN_OF_ONE_PROGRAM_S = 30.0, 5.0


def run(given: argparse.Namespace) -> int:
    """Serve until it is time to leave; the exit status. `given`: the command line, as __main__.py has it."""
    try:
        sockets = _sockets(given)
        asyncio.run(_serve(given, sockets, _key(given, sockets)))
    except CortexError as error:
        print(f"{places.PROGRAM}: {error.message}", file=sys.stderr)
        return 1
    return 0


async def _serve(given: argparse.Namespace, sockets: Sequence[socket.socket], key: str) -> None:
    lines, loop = Lines(os.getuid()), asyncio.get_running_loop()
    done = _done(with_stdin=given.while_stdin)
    async with AsyncClient(given.bus) as client:
        connections = Connections(given.bus)
        bridge = Bridge(client, connections, os.getuid(), key, given.app, given.model, given.task)
        drain_s = _DRAIN_OF_ONE_PROGRAM_S if given.while_stdin else _DRAIN_S
        runner = web.AppRunner(
            bridge.application(), handler_cancellation=True, access_log=None, shutdown_timeout=drain_s
        )
        await runner.setup()
        assert runner.server is not None
        acceptor = Acceptor(sockets, lines.factory(runner.server, loop, Line))
        _tell_port(sockets, given.port_fd)
        try:
            await serve(acceptor, lines, given.idle_s, done)
        finally:
            await runner.cleanup()
            await connections.close()


def _sockets(given: argparse.Namespace) -> list[socket.socket]:
    """Raises CortexError."""
    if sockets := listening.handed_over():
        return sockets
    if given.socket:
        sockets.append(listening.at_path(given.socket))
    if given.port is not None:
        sockets.append(listening.at_port(given.port))
    if not sockets:
        raise CortexError("There is nothing to listen on. Give --socket PATH or --port N.")
    return sockets


def _key(arguments: argparse.Namespace, sockets: Sequence[socket.socket]) -> str:
    """What programs give on the port; "" where none may enter there. A key that cannot be used leaves the socket; for
    a port by hand one is made where there is none."""
    given, file = os.environ.pop(places.KEY, ""), os.environ.pop(places.KEY_FILE, "")
    if given or all(one.family == socket.AF_UNIX for one in sockets):
        return given
    try:
        if file or arguments.port is None:
            return read_key(Path(file) if file else places.key_path())
        return make_key(places.key_path())
    except CortexError as error:
        print(f"{places.PROGRAM}: The port serves nobody. {error.message}", file=sys.stderr)
        return ""


def _tell_port(sockets: Sequence[socket.socket], where: int | None) -> None:
    if where is not None:
        port = next(one.getsockname()[1] for one in sockets if one.family != socket.AF_UNIX)
        os.write(where, f"{port}\n".encode())
        os.close(where)


def _done(*, with_stdin: bool) -> asyncio.Event:
    """Set by a signal, and with `with_stdin` by the end of stdin."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    if with_stdin:
        loop.add_reader(sys.stdin, done.set)
    return done
