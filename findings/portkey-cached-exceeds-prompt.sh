#!/bin/bash
# Seen: Portkey's gateway, translating Claude's usage (10 tokens new, 100 read from cache, 50 written to it, 5 out) for
#   Chat Completions, says 10 prompt tokens of which 100 are cached, 5 completion tokens, and 165 in all.
# Versions: @portkey-ai/gateway 1.15.2, node 20.20.2.
# Expected: 160 prompt tokens: in that format `cached_tokens` is a part of `prompt_tokens`, and prompt and completion
#   add up to the total.
# Matters to: whoever bills from such usage. Prompt less cached is -90 here, so the uncached part costs less than
#   nothing; who reads `prompt_tokens` alone is a factor of sixteen low.
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


translated = complete()["usage"]
cached = translated["prompt_tokens_details"]["cached_tokens"]
print("from Claude:", usage)
print("by the gateway:", translated)
as_described = (translated["prompt_tokens"], cached, translated["completion_tokens"]) == (10, 100, 5)
as_described &= translated["total_tokens"] == 165
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
