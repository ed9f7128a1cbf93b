#!/bin/bash
# Seen: after a plain text stream that ends with `finish_reason: "length"`, the stream helper's `get_final_completion()`
#   raises LengthFinishReasonError, though the call asked for no schema and no tools; it is no openai.APIError. The
#   same stream through `create(stream=True)` gives its text and the reason.
# Versions: openai 3.54.0, Python 3.11.
# Expected: the text so far with its finish reason; a limit that the caller set has been kept. The error makes sense
#   only where there is something to parse.
# Matters to: whoever sets `max_tokens` and moves from the plain stream to the helper: each answer that is cut becomes
#   an exception beside the error classes that they catch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q openai==3.54.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: openai==3.54.0 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import http.server
import json
import sys
import threading

import openai


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


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


stream = chunk({"role": "assistant", "content": "once upon"}) + chunk({}, "length") + "data: [DONE]\n\n"
client = openai.OpenAI(base_url=serve(lambda: ("text/event-stream", stream)), api_key="k", max_retries=0, timeout=10)
call = {"model": "m", "messages": [{"role": "user", "content": "a story"}], "max_tokens": 2}

parts = [part.choices[0] for part in client.chat.completions.create(**call, stream=True)]
print("create(stream=True):", [(part.delta.content, part.finish_reason) for part in parts])
error = None
try:
    with client.chat.completions.stream(**call) as helped:
        print("stream(): text", [event.delta for event in helped if event.type == "content.delta"])
        helped.get_final_completion()
except Exception as raised:
    error = raised
print(f"get_final_completion(): {type(error).__name__}, an APIError: {isinstance(error, openai.APIError)}")
as_described = (
    parts[-1].finish_reason == "length"
    and type(error) is openai.LengthFinishReasonError
    and not isinstance(error, openai.APIError)
)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
