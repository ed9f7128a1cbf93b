"""cortex-llm-bridge: serve this user's bridge on the sockets that systemd hands over, or on ones of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from cortexd.vendored import make_importable

make_importable()
os.environ["SSL_CERT_FILE"] = os.devnull  # aiohttp reads all of them at its import; nothing here speaks TLS

from aiohttp import web  # noqa: E402

from cortexd.bridge import listening, places  # noqa: E402
from cortexd.bridge.connections import Connections  # noqa: E402
from cortexd.bridge.key import make_key, read_key  # noqa: E402
from cortexd.bridge.lines import Lines  # noqa: E402
from cortexd.bridge.server import Bridge, Line  # noqa: E402
from cortexd.bridge.serving import Acceptor, serve  # noqa: E402
from cortexd.client import AsyncClient  # noqa: E402
from cortexd.errors import CortexError  # noqa: E402

_DRAIN_S, _DRAIN_OF_ONE_PROGRAM_S = 30.0, 5.0


def main() -> int:
    given = _parser().parse_args()
    try:
        sockets = _sockets(given)
        asyncio.run(_serve(given, sockets, _key(given, sockets)))
    except CortexError as error:
        print(f"{places.PROGRAM}: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=places.PROGRAM, description=__doc__)
    parser.add_argument("--socket", metavar="PATH", type=Path, help="a Unix socket to make")
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"a loopback port, 0 for any; its key stands in {places.KEY}, in the file that {places.KEY_FILE} names, "
        "or else in ~/.local/state/cortex-llm/bridge-key, which is made where it is not there",
    )
    parser.add_argument("--port-fd", type=int, metavar="FD", help="where to write the port")
    parser.add_argument("--app", default="", help="the label of all requests")
    parser.add_argument("--model", default="", help="answers where an unknown model is asked for")
    parser.add_argument("--task", default="", help="the task type of requests that do not say")
    parser.add_argument("--idle-s", type=float, default=0.0, help="leave after so long without a connection")
    parser.add_argument("--while-stdin", action="store_true", help="leave when nobody holds the other end of stdin")
    parser.add_argument("--bus", default="system")
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
