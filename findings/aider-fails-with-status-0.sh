#!/bin/bash
# Seen: `aider --message` ends with status 0 when its request failed: also for a model that is not there, and where the account
#   has no money (OpenAI's 429 with `insufficient_quota`), which it asks again for a minute before it gives up.
# Versions: aider-chat 0.86.2, Python 3.11.
# Expected: a status that is not 0, as it is meant for scripts; and no repetition of what no repetition mends: a rate limit has
#   another code.
# Matters to: scripts and CI jobs that go on to commit or test what was never written.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 1200 "$work/venv/bin/python" -m pip install -q aider-chat==0.86.2 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: aider-chat==0.86.2 cannot be installed here"; exit 77; }

# The settings and the dead proxy keep its look-ups on this machine.
mkdir "$work/empty"
cd "$work/empty"
env -i PATH="$PATH" HOME="$work" LITELLM_LOCAL_MODEL_COST_MAP=True https_proxy=127.0.0.1:9 no_proxy=127.0.0.1 \
    timeout 400 "$work/venv/bin/python" -I - <<'PY'
import http.server
import json
import subprocess
import sys
import threading

CASES = {"model_not_found": (404, "invalid_request_error"), "insufficient_quota": (429, "insufficient_quota")}
asked = []


class Handler(http.server.BaseHTTPRequestHandler):
    """Refuses with the code that the address names, in OpenAI's form."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        code = self.path.split("/")[1]
        status, kind = CASES[code]
        asked.append(code)
        error = {"message": "no", "type": kind, "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("x-should-retry", "false")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
quiet = "--no-git --yes-always --no-check-update --analytics-disable --no-show-model-warnings --no-pretty"
statuses = {}
for code in CASES:
    command = [sys.executable, "-m", "aider", *quiet.split(), "--model", "openai/m", "--message", "hello"]
    command += ["--openai-api-base", f"http://127.0.0.1:{server.server_port}/{code}", "--openai-api-key", "k"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=190)
    statuses[code] = done.returncode
    print(f"{code}: asked {asked.count(code)} times, ended with status {done.returncode}")
as_described = set(statuses.values()) == {0} and asked.count("model_not_found") == 1 < asked.count("insufficient_quota")
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
