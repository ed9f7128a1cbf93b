#!/bin/bash
# Seen: asked for usage, an OpenAI-compatible server ends a stream with a chunk whose `choices` is empty. LiteLLM gives
#   that chunk a choice: index 0, an empty delta, no finish reason, after the chunk that had the reason.
# Versions: litellm 1.108.7, Python 3.11.
# Expected: the empty list, which the format documents, and by which clients know the usage chunk.
# Matters to: clients that read usage only where there is no choice (they see none, and count nothing), and those that
#   take the last chunk's finish reason for the answer's.
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


def chunk(choices, **more):
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return f"data: {json.dumps(body)}\n\n"


text = chunk([{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}])
finish = chunk([{"index": 0, "delta": {}, "finish_reason": "length"}])
usage = chunk([], usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4})
parts = litellm.completion(
    model="openai/m",
    base_url=serve(lambda: ("text/event-stream", text + finish + usage + "data: [DONE]\n\n")) + "/v1",
    api_key="k",
    messages=[{"role": "user", "content": "hi"}],
    stream=True,
    stream_options={"include_usage": True},
    max_retries=0,
    timeout=20,
)
seen = [(len(p.choices), p.choices[0].finish_reason, getattr(p, "usage", None) is not None) for p in parts]
for choices, reason, has_usage in seen:
    print(f"choices: {choices}  finish reason: {reason}  usage: {has_usage}")
print("options sent:", sent[-1].get("stream_options"))
as_described = seen[-1] == (1, None, True) and (1, "length", False) in seen
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
