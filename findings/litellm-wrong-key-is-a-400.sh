#!/bin/bash
# Seen: LiteLLM's proxy with a master key and without a database answers a wrong key with status 400, type
#   `no_db_connection` and the text "No connected db.".
# Versions: litellm 1.108.7 with its proxy, Python 3.11.
# Expected: 401, by which clients and the SDKs' exception classes tell a wrong key from a wrong request.
# Matters to: whoever asks for a new key at 401, and whoever drops a parameter and tries again at 400.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 1200 "$work/venv/bin/python" -m pip install -q 'litellm[proxy]==1.108.7' 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: litellm==1.108.7 with its proxy cannot be installed here"; exit 77; }

key=sk-master-key-of-this-script-0123456789
cat >"$work/config.yaml" <<YAML
model_list: [{model_name: mock, litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: hello}}]
general_settings: {master_key: $key}
YAML
port=$(python3 -I -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# The settings and the dead proxy keep its look-ups of lists on this machine.
own=(MODEL_COST_MAP ANTHROPIC_BETA_HEADERS AUTOROUTER_PRESETS BLOG_POSTS POLICY_TEMPLATES)
env -i PATH="$PATH" HOME="$work" LC_ALL=C.UTF-8 $(printf 'LITELLM_LOCAL_%s=True ' "${own[@]}") \
    HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1 \
    timeout 240 "$work/venv/bin/litellm" --config "$work/config.yaml" --host 127.0.0.1 --port "$port" --telemetry False \
    >"$work/log" 2>&1 &
server=$!
timeout 200 python3 -I - "$port" "$key" <<'PY'
import http.client
import json
import sys
import time

port, key = int(sys.argv[1]), sys.argv[2]
body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "hi"}]})


def ask(key):
    """Status and error type."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    return reply.status, answer.get("error", {}).get("type"), answer.get("error", {}).get("message", "")[:60]


deadline = time.monotonic() + 150
while True:
    try:
        right = ask(key)
        break
    except (OSError, ValueError):  # not listening yet, or not ready
        if time.monotonic() > deadline:
            sys.exit("the proxy did not start")
        time.sleep(0.5)
wrong = ask("sk-another-key-0123456789-0123456789")
print("right key:", right)
print("wrong key:", wrong)
as_described = right[0] == 200 and wrong[:2] == (400, "no_db_connection")
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
