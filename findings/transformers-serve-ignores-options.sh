#!/bin/bash
# Seen: `transformers serve` accepts `response_format` with a JSON schema, `tool_choice: "required"` and `n: 2`, and
#   answers as if they were not there: the same text, one choice, status 200. The only trace is in the server's log.
# Versions: transformers 5.23.0, torch 2.13.0, Python 3.11.
# Expected: 400 for what the server cannot do, as it gives 422 for a field that it does not know.
# Matters to: clients that take an answer's form from the option that they sent: the JSON parser, not the server, is the
#   first to complain.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 1800 "$work/venv/bin/python" -m pip install -q torch==2.13.0 'transformers[serving]==5.23.0' 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: torch==2.13.0 and transformers==5.23.0 cannot be installed here"; exit 77; }

# A model with random weights and one token for each byte: what it says is noise, what the server does is not.
export HOME="$work" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
timeout 120 "$work/venv/bin/python" -I - "$work" <<'PY' 2>"$work/log"
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

torch.manual_seed(0)
TEMPLATE = "{% for m in messages %}TURNS{% endfor %}{% if add_generation_prompt %}OPEN{% endif %}"
CHATML = ("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n", "<|im_start|>assistant\n")
OWN = ("[{{ m.role }}] {{ m.content }}\n", "[assistant] ")
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(["<end>", *letters])}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}
config = Qwen3Config(vocab_size=257, num_key_value_heads=1, eos_token_id=0, pad_token_id=0, bos_token_id=None, **shape)
model = Qwen3ForCausalLM(config)
for name, (turns, opening) in {"chatml": CHATML, "own": OWN}.items():
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = TEMPLATE.replace("TURNS", turns).replace("OPEN", opening)
    fast.save_pretrained(f"{sys.argv[1]}/{name}")
    model.save_pretrained(f"{sys.argv[1]}/{name}")
PY

port=$(python3 -I -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
timeout 180 "$work/venv/bin/transformers" serve --host 127.0.0.1 --port "$port" --device cpu >"$work/log" 2>&1 &
server=$!
timeout 170 python3 -I - "$port" "$work" <<'PY'
import json
import socket
import sys
import time
import urllib.error
import urllib.request

port, work = int(sys.argv[1]), sys.argv[2]
deadline = time.monotonic() + 90
while socket.socket().connect_ex(("127.0.0.1", port)):
    if time.monotonic() > deadline:
        sys.exit("the server did not start")
    time.sleep(0.2)


def complete(model, text, **options):
    messages = [{"role": "user", "content": text}]
    body = {"model": f"{work}/{model}", "messages": messages, "max_tokens": 8, "temperature": 0, **options}
    headers = {"content-type": "application/json"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as reply:
        return json.load(reply)


tool = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}
schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
plain = complete("chatml", "a question")["choices"]
options = {
    "response_format": {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}},
    "tool_choice": {"tools": [tool], "tool_choice": "required"},
    "n": {"n": 2},
}
print("no option:", repr(plain[0]["message"]["content"]))
as_described = len(plain) == 1
for name, option in options.items():
    choices = complete("chatml", "a question", **option)["choices"]
    same = len(choices) == 1 and choices[0]["message"] == plain[0]["message"]
    print(f"{name}: {choices[0]['message']['content']!r}, the same: {same}")
    as_described &= same
try:
    complete("chatml", "a question", no_such_field=1)
    status = 200
except urllib.error.HTTPError as error:
    status = error.code
print(f"a field it does not know: status {status}")
as_described &= status == 422
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
