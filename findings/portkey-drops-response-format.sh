#!/bin/bash
# Seen: with Claude behind it, Portkey's gateway drops `response_format` with a JSON schema (and `json_object`, and
#   `seed`) and answers 200; nothing of the schema reaches the model, and the reply has the fields of any other.
# Versions: @portkey-ai/gateway 1.15.2, node 20.20.2.
# Expected: the schema passed on as Claude's own output format, or at least an error for an option that is a promise
#   about the answer's form; tools' schemas are passed on.
# Matters to: applications that move a working call to another provider by the gateway's header alone, or let it
#   fall back there, and then parse prose.
set -euo pipefail
work=$(mktemp -d)
gateway=
trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true; rm -rf "$work"' EXIT
command -v node npm >"$work/log" || { echo "skipped: install node and npm"; exit 77; }
timeout 600 npm install --prefix "$work" --no-save --no-audit --no-fund --ignore-scripts --silent @portkey-ai/gateway@1.15.2 \
    >"$work/log" 2>&1 || { cat "$work/log"; echo "skipped: @portkey-ai/gateway@1.15.2 cannot be installed here"; exit 77; }

port=$(python3 -I -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -i PATH="$PATH" HOME="$work" timeout 60 \
    node "$work/node_modules/@portkey-ai/gateway/build/start-server.js" --headless "--port=$port" >"$work/log" 2>&1 &
gateway=$!
timeout 50 python3 -I - "$port" <<'PY'
import http.server
import json
import socket
import sys
import threading
import time
import urllib.request

port, sent = int(sys.argv[1]), []
block = {"type": "text", "text": "hello"}
message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "end_turn"}
usage = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50, "output_tokens": 5}


class Claude(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(message | {"usage": usage}).encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Claude)
threading.Thread(target=server.serve_forever, daemon=True).start()
deadline = time.monotonic() + 30
while socket.socket().connect_ex(("127.0.0.1", port)):
    if time.monotonic() > deadline:
        sys.exit("the gateway did not start")
    time.sleep(0.1)


def complete(**options):
    headers = {
        "content-type": "application/json",
        "authorization": "Bearer k",
        "x-portkey-provider": "anthropic",
        "x-portkey-custom-host": f"http://127.0.0.1:{server.server_port}/v1",
    }
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **options}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=10) as reply:
        return json.load(reply)


schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
formats = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
    "json_object": {"type": "json_object"},
}
fields = sorted(complete())
as_described = True
for name, response_format in formats.items():
    reply = complete(response_format=response_format, seed=1)
    text = reply["choices"][0]["message"]["content"]
    print(f"{name}: answered {text!r}, sent to Claude: {sorted(sent[-1])}")
    as_described &= text == "hello" and sorted(reply) == fields
    as_described &= sorted(sent[-1]) == ["max_tokens", "messages", "model", "system"]
complete(tools=[{"type": "function", "function": {"name": "place", "parameters": schema}}])
print("a tool's schema, sent to Claude:", json.dumps(sent[-1]["tools"][0]["input_schema"]))
as_described &= sent[-1]["tools"][0]["input_schema"]["properties"] == schema["properties"]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
