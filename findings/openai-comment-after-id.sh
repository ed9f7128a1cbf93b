#!/bin/bash
# Seen: a keep-alive comment (`: ping`) between two chunks does no harm, until a chunk carries an `id:` line: from
#   then on the comment becomes an event without data, and the stream ends in json.JSONDecodeError, which is no
#   openai.APIError.
# Versions: openai 3.54.0, Python 3.11.
# Expected: SSE says that comments are ignored and that an event without data is not dispatched; the last event id
#   outlives its event. So nothing at all happens at a comment.
# Matters to: servers that number their events so that a client may resume, and send comments through long silences;
#   and callers whose `except openai.APIError` was meant to catch what a stream can do.
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


delta = {"index": 0, "delta": {"content": "hello"}, "finish_reason": None}
chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}


def outcome(id_line):
    event = f"data: {json.dumps(chunk)}\n\n"
    url = serve(lambda: ("text/event-stream", f"{id_line}{event}: ping\n\n{event}data: [DONE]\n\n"))
    client = openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=10)
    seen = []
    try:
        for part in client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True):
            seen.append(part.choices[0].delta.content)
    except Exception as error:
        seen += [type(error), isinstance(error, openai.APIError)]
    print(f"id line: {id_line!r}  seen: {seen}")
    return seen


as_described = outcome("") == ["hello", "hello"] and outcome("id: 7\n") == ["hello", json.JSONDecodeError, False]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
