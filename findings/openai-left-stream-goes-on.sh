#!/bin/bash
# Seen: an openai stream whose loop is left by `break` and whose object is deleted stays open: the server goes on sending, and a
#   model goes on answering, until Python's cycle collector comes by. A program that then waits allocates nothing, and it never
#   comes. With the anthropic package the same loop ends its connection at `del`.
# Versions: openai 3.57.0, anthropic 2.14.0, Python 3.11.
# Expected: the object owns its connection and has no other owner, so that CPython closes it at `del`, as it does a file.
# Matters to: whoever stops reading when he has seen enough, and pays for output tokens or holds a slot of a server: `with`, or
#   `close()`, ends it at once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q openai==3.57.0 anthropic==2.14.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: openai==3.57.0 anthropic==2.14.0 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 120 "$work/venv/bin/python" -I - <<'PY'
import gc
import http.server
import json
import sys
import threading

import anthropic
import openai

left, pause = threading.Event(), threading.Event()
CHOICE = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [CHOICE]}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}


class Handler(http.server.BaseHTTPRequestHandler):
    """Says a word every twentieth of a second until nobody listens."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        body = DELTA if self.path.endswith("messages") else CHUNK
        event = f"event: {DELTA['type']}\ndata: {json.dumps(body)}\n\n".encode()
        try:
            for _ in range(400):
                self.wfile.write(event)
                pause.wait(0.05)
        except OSError:
            left.set()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
settings = {"api_key": "k", "max_retries": 0, "timeout": 10}
question = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True}
clients = {
    "openai": openai.OpenAI(base_url=f"{address}/v1", **settings).chat.completions,
    "anthropic": anthropic.Anthropic(base_url=address, **settings).messages,
}
gc.collect()
gc.disable()  # a program that waits is never collected


def ends(client, way):
    """Whether the server notices within two seconds that its reader has gone."""
    left.clear()
    stream = client.create(**question)
    for _ in stream:
        break
    if way == "close":
        stream.close()
    del stream
    if way == "collect":
        gc.collect()
    return left.wait(2)


outcomes = []
for name, client in clients.items():
    for way in ("del", "collect", "close"):
        outcomes.append(ends(client, way))
        print(f"{name}, left by {way}: the connection {'ends' if outcomes[-1] else 'is open 2 s later'}")
        gc.collect()
as_described = outcomes == [False, True, True, True, True, True]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
