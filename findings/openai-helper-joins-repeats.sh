#!/bin/bash
# Seen: the stream helper adds up every string of a delta but `type`. A server that says `role`, or a tool
#   call's `id` and `name`, again in each chunk gives `assistantassistant` and a call of `weatherweather`.
# Versions: openai 3.54.0, Python 3.11.
# Expected: names, ids and roles are identities, which a later mention replaces or repeats; only text and arguments grow.
# Matters to: users of the helper with other servers than OpenAI's, as nothing in the format forbids to say a name
#   again: the tool is not found, and the message, sent back as history, has a role that no server knows.
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
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


def fragment(arguments):
    function = {"name": "weather", "arguments": arguments}
    return chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})


stream = fragment('{"city": ') + fragment('"Rome"}') + chunk({}, "tool_calls") + "data: [DONE]\n\n"
client = openai.OpenAI(base_url=serve(lambda: ("text/event-stream", stream)), api_key="k", max_retries=0, timeout=10)
with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as parts:
    message = parts.get_final_completion().choices[0].message
call = message.tool_calls[0]
print(f"role={message.role!r} id={call.id!r} type={call.type!r} name={call.function.name!r}")
print(f"arguments={call.function.arguments!r}")
as_described = (message.role, call.id, call.type, call.function.name) == (
    "assistant" * 3,
    "call_1" * 2,
    "function",
    "weather" * 2,
)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
