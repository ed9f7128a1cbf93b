"""python -m cortexd.bridge: serve this user's bridge on the sockets that systemd hands over, or on one of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from functools import partial

from cortexd.vendored import make_importable

make_importable()

from aiohttp import web  # noqa: E402

from cortexd.bridge.connections import Connections  # noqa: E402
from cortexd.bridge.server import Bridge, Line  # noqa: E402
from cortexd.client import AsyncClient  # noqa: E402

_FIRST_FD = 3
_LOOK_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="cortex-llm-bridge", description=__doc__)
    parser.add_argument("--socket", metavar="PATH", help="a Unix socket to make")
    parser.add_argument(
        "--port", type=int, metavar="N", help="a loopback port, 0 for any; its token stands in CORTEX_LLM_TOKEN"
    )
    parser.add_argument("--port-fd", type=int, metavar="FD", help="where to write the port")
    parser.add_argument("--app", default="", help="the label of all requests")
    parser.add_argument("--model", default="", help="answers where an unknown model is asked for")
    parser.add_argument("--task", default="", help="the task type of requests that do not say")
    parser.add_argument("--idle-s", type=float, default=0.0, help="leave after so long without a request")
    parser.add_argument("--while-stdin", action="store_true", help="leave when nobody holds the other end of stdin")
    parser.add_argument("--bus", default="system")
    asyncio.run(_serve(parser.parse_args()))
    return 0


async def _serve(given: argparse.Namespace) -> None:
    token = os.environ.pop("CORTEX_LLM_TOKEN", "")
    async with AsyncClient(given.bus) as client:
        connections = Connections(given.bus)
        bridge = Bridge(client, connections, os.getuid(), token, given.app, given.model, given.task)
        runner = web.AppRunner(bridge.application(), handler_cancellation=True, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        sockets, loop = _sockets(given), asyncio.get_running_loop()
        assert runner.server is not None
        line = partial(Line, runner.server, loop=loop, access_log=None)  # type: ignore[arg-type] # aiohttp's word for none
        servers = [await loop.create_server(line, sock=one) for one in sockets]
        if given.port_fd is not None:
            os.write(given.port_fd, f"{sockets[-1].getsockname()[1]}\n".encode())
            os.close(given.port_fd)
        try:
            await _until_done(bridge, given.idle_s, with_stdin=given.while_stdin)
        finally:
            for server in servers:
                server.close()
            await runner.cleanup()
            await connections.close()


def _sockets(given: argparse.Namespace) -> list[socket.socket]:
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return [socket.socket(fileno=_FIRST_FD + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    if given.port is not None:
        return [socket.create_server(("127.0.0.1", given.port))]
    if not given.socket:
        sys.exit("cortex-llm-bridge: nothing to listen on. Give --socket PATH or --port N.")
    before = os.umask(0o177)
    try:
        one = socket.socket(socket.AF_UNIX)
        one.bind(given.socket)
    finally:
        os.umask(before)
    one.listen()
    return [one]


async def _until_done(bridge: Bridge, idle_s: float, *, with_stdin: bool) -> None:
    """Until a signal, the end of stdin, or until nobody has asked for `idle_s`; 0 waits for the others alone."""
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    if with_stdin:
        asyncio.get_running_loop().add_reader(sys.stdin, done.set)
    last = time.monotonic()
    while not done.is_set():
        if bridge.under_way:
            last = time.monotonic()
        if idle_s and time.monotonic() - last > idle_s:
            return
        try:
            async with asyncio.timeout(_LOOK_S if idle_s else None):
                await done.wait()
        except TimeoutError:
            continue


if __name__ == "__main__":
    sys.exit(main())
