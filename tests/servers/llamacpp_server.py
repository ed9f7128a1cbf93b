"""llama.cpp's HTTP server as xllamacpp has it built: `python tests/servers/llamacpp_server.py FILE PORT`.

As `llama-server -m FILE --port PORT -c 4096 -np 4 --jinja --slots --context-shift --temp 0 -t 1` would be. Run by the
interpreter of the server's own environment; imports nothing of ours.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def parameters(model: str, port: int) -> xllamacpp.CommonParams:
    made = xllamacpp.CommonParams()
    made.model.path, made.model_alias = model, {"tiny"}
    made.hostnames, made.port = ["127.0.0.1"], port
    made.n_ctx, made.n_parallel, made.kv_unified = 4096, 4, False  # 1024 tokens for each
    made.ctx_shift = True  # what has no end goes on
    made.use_jinja, made.endpoint_slots, made.fit_params = True, True, False
    made.sampling.temp = 0.0
    made.cpuparams.n_threads = 1
    return made


if __name__ == "__main__":
    server = xllamacpp.Server(parameters(sys.argv[1], int(sys.argv[2])))
    while True:
        signal.pause()
