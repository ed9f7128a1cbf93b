#!/bin/bash
# Seen: `Anthropic(api_key=...)` sends the key as `Authorization: Bearer`, and no `x-api-key` header at all.
# Versions: anthropic 2.12.0, Python 3.11.
# Expected: `x-api-key`, which the Messages API is known by and which the SDK sent for years; `Authorization` was
#   what `auth_token=` stood for.
# Matters to: authors of proxies and of simulated servers that read a tenant's key from `x-api-key`: every client that
#   updates its SDK comes without one.
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

sent = []
block = {"type": "text", "text": "hello"}
message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "end_turn"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        sent.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(message | {"usage": {"input_tokens": 1, "output_tokens": 1}}).encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
for option in ("api_key", "auth_token"):
    client = anthropic.Anthropic(base_url=url, max_retries=0, timeout=10, **{option: "example"})
    client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    print(f"{option}: authorization={sent[-1].get('authorization')!r} x-api-key={sent[-1].get('x-api-key')!r}")
as_described = all(h.get("authorization") == "Bearer example" and "x-api-key" not in h for h in sent)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
