#!/bin/bash
# Seen: while a tool's input streams in, the helper's snapshot shows numbers that are not there yet: an amount of
#   1250.75 is 1, then 12, then 1250. Strings, `true` and a number that ends in a point are held back until whole.
# Versions: anthropic 2.12.0, jiter 0.16.0, Python 3.11.
# Expected: a value is missing until its end has been seen, as it is for the other kinds.
# Matters to: whoever acts on a snapshot early (fills a form, checks a limit, starts the call when all fields are
#   present): a cut number is as valid as the whole one, and nothing tells them apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q anthropic==2.12.0 jiter==0.16.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: anthropic==2.12.0 jiter==0.16.0 cannot be installed here"; exit 77; }

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


def events():
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": message | {"usage": {"input_tokens": 1, "output_tokens": 0}}}
    block = {"type": "tool_use", "id": "t", "name": "pay", "input": {}}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for piece in ('{"sure": tr', 'ue, "to": "Bo', 'b", "amount": 1', "2", "50", ".75}"):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events())
client = anthropic.Anthropic(
    base_url=serve(lambda: ("text/event-stream", stream)), api_key="k", max_retries=0, timeout=10
)
snapshots = []
with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as parts:
    for event in parts:
        if event.type == "input_json":
            snapshots.append(dict(event.snapshot))
            print(f"{event.partial_json!r:20} {snapshots[-1]}")
amounts = [snapshot["amount"] for snapshot in snapshots if "amount" in snapshot]
whole = all(s.get("sure", True) is True and s.get("to", "Bob") == "Bob" for s in snapshots)
as_described = amounts == [1, 12, 1250, 1250.75] and whole
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
