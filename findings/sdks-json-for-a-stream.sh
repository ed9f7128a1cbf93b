#!/bin/bash
# Seen: a streaming call that is answered by status 200 and one plain JSON object (a whole completion, or an error)
#   gives a stream with nothing in it. Neither SDK looks at the content type, neither raises.
# Versions: anthropic 2.12.0, openai 3.54.0, Python 3.11.
# Expected: the completion as one piece, or an exception: the content type says that this is no event stream.
# Matters to: clients of endpoints behind gateways. A server that ignores `stream`, or a proxy that reports its
#   quota under status 200, looks like a model that had nothing to say, and retries and fallbacks never start.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q anthropic==2.12.0 openai==3.54.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: anthropic==2.12.0 openai==3.54.0 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import http.server
import json
import sys
import threading

import anthropic
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


question = [{"role": "user", "content": "hi"}]
choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}
completion = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
block = {"type": "text", "text": "hello"}
message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "end_turn"}
failure = {"type": "error", "error": {"type": "quota", "message": "no credit left"}}


def from_openai(reply):
    url = serve(lambda: ("application/json", json.dumps(reply)))
    client = openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=10)
    return list(client.chat.completions.create(model="m", messages=question, stream=True))


def from_anthropic(reply):
    url = serve(lambda: ("application/json", json.dumps(reply)))
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, timeout=10)
    return list(client.messages.create(model="m", max_tokens=9, messages=question, stream=True))


cases = [
    ("openai, a completion", from_openai, completion),
    ("openai, an error", from_openai, failure),
    ("anthropic, a message", from_anthropic, message),
    ("anthropic, an error", from_anthropic, failure),
]
as_described = True
for name, ask, reply in cases:
    seen = ask(reply)
    print(f"{name}: {seen}")
    as_described &= seen == []
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
