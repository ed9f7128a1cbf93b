"""cortex-llm-bridge: serve this user's bridge on the sockets that systemd hands over, or on ones of its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cortexd.bridge import places
from cortexd.vendored import make_importable


def main() -> int:
    given = _parser().parse_args()
    make_importable()
    os.environ["SSL_CERT_FILE"] = os.devnull  # aiohttp reads all of them at its import; nothing here speaks TLS
    from cortexd.bridge.running import run  # imports aiohttp

    return run(given)


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


if __name__ == "__main__":
    sys.exit(main())
