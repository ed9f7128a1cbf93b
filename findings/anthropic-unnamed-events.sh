#!/bin/bash
# Seen: a Messages stream whose events carry their type in the JSON alone, without an `event:` line, comes out of
#   the SDK empty: no text, no exception, not even for the `error` event that ends it. With the lines both arrive.
# Versions: anthropic 2.12.0, Python 3.11.
# Expected: the JSON has a `type` of its own, and an SSE event without a name is a valid one (named "message"); so
#   the text, or an error that says the stream makes no sense.
# Matters to: whoever writes a server or a proxy for Claude's clients. A stream of bare `data:` lines, as Chat
#   Completions has it, looks to every Python client like an answer with nothing in it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q anthropic==2.12.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: anthropic==2.12.0 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import http.server
import json
import sys
import threading

import anthropic


def serve(answer):
    """Base address of a server on loopback; `answer()` gives content type and body of the next reply."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            kind, body = answer()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def events(last):
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": message | {"usage": {"input_tokens": 1, "output_tokens": 0}}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}
    yield last


def sse(named, last):
    lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events(last)]
    return "text/event-stream", "".join(lines)


def outcome(named, last):
    client = anthropic.Anthropic(base_url=serve(lambda: sse(named, last)), api_key="k", max_retries=0, timeout=10)
    question = [{"role": "user", "content": "hi"}]
    try:
        seen = [e.type for e in client.messages.create(model="m", max_tokens=9, messages=question, stream=True)]
    except anthropic.APIStatusError as error:
        seen = [type(error).__name__]
    print(f"event lines: {named!s:5}  last event: {last['type']:12}  seen: {seen}")
    return seen


stop = {"type": "message_stop"}
error = {"type": "error", "error": {"type": "overloaded_error", "message": "try later"}}
as_described = [len(outcome(True, stop)), outcome(True, error), outcome(False, stop), outcome(False, error)] == [
    4,
    ["APIStatusError"],
    [],
    [],
]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
