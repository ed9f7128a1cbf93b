#!/bin/bash
# Seen: on the way to Claude, LiteLLM writes sentences of its own into the conversation: an empty message becomes a
#   remark about an empty message, and a system message that is not the first becomes user text behind an operator's
#   note. Nothing in the reply or its usage says so.
# Versions: litellm 1.108.7, Python 3.11.
# Expected: an error for what the other API cannot carry, or the message left out, or moved to the `system` field.
# Matters to: whoever counts tokens, caches or signs prompts, or asks why the model speaks of a message that nobody wrote.
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


block = {"type": "text", "text": "hello"}
message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "end_turn"}
reply = json.dumps(message | {"usage": {"input_tokens": 1, "output_tokens": 1}})
url = serve(lambda: ("application/json", reply))


def texts_sent(*messages):
    litellm.completion(
        model="anthropic/claude-sonnet-4-5", messages=messages, api_base=url, api_key="k", max_retries=0, timeout=20
    )
    texts = [part["text"] for part in sent[-1]["messages"][0]["content"]]
    print(f"given {[m['content'] for m in messages]}, sent {texts}, system: {sent[-1].get('system')}")
    return texts


empty = texts_sent({"role": "user", "content": ""})
late = texts_sent({"role": "user", "content": "hi"}, {"role": "system", "content": "be brief"})
as_described = len(empty) == 1 and bool(empty[0]) and late[0] == "hi" and late[-1] == "be brief" and len(late) == 3
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
