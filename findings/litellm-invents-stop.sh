#!/bin/bash
# Seen: a stream that stops without a finish reason, in the middle of a text or of a tool call's JSON, gets one from
#   LiteLLM: its last chunk says `stop`. The openai package, reading the same bytes, gives no reason.
# Versions: litellm 1.108.7 (with the openai package that pip chooses for it), Python 3.11.
# Expected: an error, or no finish reason: that is how a client tells an answer that ended from one that broke off.
# Matters to: whoever retries, bills or runs tools by the finish reason: behind LiteLLM a server that was stopped in the
#   middle looks like a model that had said all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 1200 "$work/venv/bin/python" -m pip install -q litellm==1.108.7 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: litellm==1.108.7 cannot be installed here"; exit 77; }

# The settings and the dead proxy keep its look-ups of price lists on this machine.
env -i PATH="$PATH" HOME="$work" LITELLM_LOCAL_MODEL_COST_MAP=True LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS=True \
    https_proxy=127.0.0.1:9 no_proxy=127.0.0.1 timeout 120 "$work/venv/bin/python" -I - <<'PY'
import http.server
import json
import sys
import threading

import litellm
import openai

sent = []


def serve(answer):
    """Base address of a server on loopback; `answer()` gives content type and body of the next reply."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
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


def chunk(delta):
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


def reasons(parts):
    return [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason]


half_call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 1'}}
question = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
outcomes = []
for name, delta in (("half a text", {"content": "once upon"}), ("half a call", {"tool_calls": [half_call]})):
    server = {"base_url": serve(lambda delta=delta: ("text/event-stream", chunk(delta))) + "/v1", "api_key": "k"}
    plain = reasons(openai.OpenAI(**server, max_retries=0, timeout=10).chat.completions.create(model="m", **question))
    routed = reasons(litellm.completion(model="openai/m", **server, max_retries=0, timeout=10, **question))
    print(f"{name}: finish reasons from openai {plain}, from litellm {routed}")
    outcomes.append((plain, routed))
as_described = outcomes == [([], ["stop"]), ([], ["stop"])]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
