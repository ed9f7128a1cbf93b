#!/bin/bash
# Seen: before it chooses a worker, vLLM's router sends the whole prompt of every request to all workers at once
#   (`/v1/chat/completions/render`, then `/tokenize` where that is a 404), under its default policy `cache_aware`. Where
#   neither exists, equal prompts are spread over all workers: the cache that the policy is for is not used, with no error.
# Versions: vllm-router 0.1.17, Python 3.11.
# Expected: the policy goes by the text, as its options read (`--max-tree-size` counts characters), or asks one worker;
#   and says so where it cannot compare prompts.
# Matters to: who puts it before llama.cpp, SGLang or a gateway, and who has many workers: each tokenizes all traffic.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q vllm-router==0.1.17 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: vllm-router==0.1.17 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 120 "$work/venv/bin/python" -I - "$work/log" <<'PY'
import concurrent.futures
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter

WORKERS, REQUESTS = 4, 12


class Worker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked, tokens, all_there = Counter(), True, threading.Barrier(REQUESTS)

    def do_GET(self):
        self.reply(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        Worker.asked[self.path, self.server.server_port] += 1
        message = {"role": "assistant", "content": "ok"}
        if self.path == "/v1/chat/completions":
            Worker.all_there.wait(20)
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self.reply(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices})
        elif Worker.tokens and self.path == "/tokenize":
            self.reply(200, {"count": 400, "max_model_len": 4096, "tokens": list(range(400))})
        else:
            self.reply(404, {"detail": "Not Found"})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def seen(tokens):
    """Requests to each path, and to how many workers the completions went."""
    Worker.tokens, port = tokens, free_port()
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Worker) for _ in range(WORKERS)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = [f"http://127.0.0.1:{server.server_port}" for server in servers]
    command = [sys.executable, "-m", "vllm_router.launch_router", "--port", str(port), "--worker-urls", *urls]
    options = ["--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1"]
    with open(sys.argv[1], "w") as log:
        router = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 40
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                sys.exit("the router did not start")
            time.sleep(0.1)
        Worker.asked.clear()
        body = {"model": "m", "messages": [{"role": "user", "content": "the same words " * 100}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with concurrent.futures.ThreadPoolExecutor(REQUESTS) as at_once:
            for answer in [at_once.submit(urllib.request.urlopen, request, timeout=30) for _ in range(REQUESTS)]:
                answer.result().close()
    finally:
        router.terminate()
        router.wait(20)
    paths = Counter()
    for (path, _), count in Worker.asked.items():
        paths[path] += count
    return paths, len({port for path, port in Worker.asked if path == "/v1/chat/completions"})


results = {}
for name, tokens in (("workers with /tokenize", True), ("without", False)):
    paths, used = results[tokens] = seen(tokens)
    print(f"{name}: {REQUESTS} equal requests at once, answered by {used} of {WORKERS} workers; they were asked")
    for path, count in sorted(paths.items()):
        print(f"  {count:3}  {path}")
as_described = results[True][0]["/tokenize"] >= REQUESTS * WORKERS and results[True][1] == 1 and results[False][1] > 1
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
