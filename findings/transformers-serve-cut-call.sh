#!/bin/bash
# Seen: where `max_tokens` ends an answer in the middle of a tool call, `transformers serve` answers a plain request with
#   status 500, "Internal Server Error" in plain text. The same request as a stream is a 200 that ends with finish reason
#   `length`, no text, no call and its usage.
# Versions: transformers 5.24.0, torch 2.13.0, Python 3.11.
# Expected: the same for both: an answer that was cut, with `length`.
# Matters to: clients that try again at 500: the same request fails as often as it is sent, and each time is worked on.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 1800 "$work/venv/bin/python" -m pip install -q torch==2.13.0 'transformers[serving]==5.24.0' 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: torch==2.13.0 and transformers==5.24.0 cannot be installed here"; exit 77; }

# A model whose weights are written by hand: each token brings about the next one of a tool call.
export HOME="$work" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
timeout 120 "$work/venv/bin/python" -I - "$work/model" <<'PY' 2>"$work/log"
import sys

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

END, OPENING = "<|im_end|>", "<|im_start|>assistant\n"
SAYS = [OPENING, "<tool_call>", '{"name": "pay", ', '"arguments": {}}', "</tool_call>", END]
words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
spelled = [words.pre_tokenize_str(piece)[0][0] for piece in SAYS[1:-1]]
vocabulary = {token: number for number, token in enumerate([END, *sorted(words.alphabet()), *spelled])}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
tokenizer.pre_tokenizer, tokenizer.decoder = words, decoders.ByteLevel()
tokenizer.add_special_tokens([AddedToken(END, special=True)])
tokenizer.add_tokens([AddedToken(OPENING, special=False, normalized=False)])
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
fast.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
fast.save_pretrained(sys.argv[1])
size = len(fast)
numbers = fast.convert_tokens_to_ids([OPENING, *spelled, END])
config = Qwen3Config(
    vocab_size=size, hidden_size=size, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
    num_key_value_heads=1, head_dim=16, tie_word_embeddings=False, eos_token_id=0, pad_token_id=0, bos_token_id=None,
)
model = Qwen3ForCausalLM(config)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.zero_()
    model.model.embed_tokens.weight.copy_(torch.eye(size))
    for before, after in zip(numbers, numbers[1:]):
        model.lm_head.weight[after, before] = 1.0
model.generation_config.do_sample = False
model.save_pretrained(sys.argv[1])
PY

port=$(python3 -I -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
timeout 180 "$work/venv/bin/transformers" serve --host 127.0.0.1 --port "$port" --device cpu >"$work/log" 2>&1 &
server=$!
timeout 170 python3 -I - "$port" "$work/model" <<'PY'
import http.client
import json
import socket
import sys
import time

port, model = int(sys.argv[1]), sys.argv[2]
deadline = time.monotonic() + 90
while socket.socket().connect_ex(("127.0.0.1", port)):
    if time.monotonic() > deadline:
        sys.exit("the server did not start")
    time.sleep(0.2)
tool = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}


def ask(**options):
    """Status and text of the answer."""
    body = {"model": model, "messages": [{"role": "user", "content": "pay"}], "tools": [tool], **options}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


whole, cut, stream = ask(), ask(max_tokens=2), ask(max_tokens=2, stream=True)
print("whole: ", whole[0], json.loads(whole[1])["choices"][0]["message"].get("tool_calls"))
print("cut:   ", *cut)
print("stream:", stream[0])
for line in filter(None, stream[1].splitlines()):
    print("       ", json.dumps(json.loads(line.removeprefix("data: "))["choices"]))
as_described = whole[0] == 200 and '"pay"' in whole[1] and cut == (500, "Internal Server Error")
as_described &= stream[0] == 200 and '"finish_reason":"length"' in stream[1] and "tool_calls" not in stream[1]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
