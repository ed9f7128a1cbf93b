"""Writes the model of tiny_model.py as GGUF, for llama.cpp: `python tests/servers/gguf_model.py DIRECTORY FILE`.

Weights and tokens are the same. The template shows tools and thoughts in the words that the model says, since llama.cpp
reads from it how to take an answer apart. Run by the interpreter of the server's own environment; imports nothing of
ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType
from safetensors.numpy import load_file

TEMPLATE = (
    "{%- if tools %}<|im_start|>system\nTools: {%- for tool in tools %} {{- tool.function.name }}{%- endfor %}. "
    'Answer as <tool_call>{"name": ..., "arguments": {...}}</tool_call><|im_end|>\n{%- endif %}'
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}"
    "{%- if m.role == 'tool' %}{{- '<|result|>' }}{%- endif %}"
    "{%- if m.reasoning_content %}{{- '<think>' + m.reasoning_content + '</think>' }}{%- endif %}"
    "{%- if m.content is string %}{{- m.content }}{%- endif %}"
    "{%- for call in m.tool_calls or [] %}"
    '{{- \'<tool_call>{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments | tojson }}{{- '}</tool_call>' }}"
    "{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
_MERGE = "\u0100 \u0100"  # llama.cpp wants one: two bytes of zero, which nobody says
_SIZES = {
    "num_hidden_layers": GGUFWriter.add_block_count,
    "max_position_embeddings": GGUFWriter.add_context_length,
    "hidden_size": GGUFWriter.add_embedding_length,
    "intermediate_size": GGUFWriter.add_feed_forward_length,
    "num_attention_heads": GGUFWriter.add_head_count,
    "num_key_value_heads": GGUFWriter.add_head_count_kv,
    "rms_norm_eps": GGUFWriter.add_layer_norm_rms_eps,
    "eos_token_id": GGUFWriter.add_eos_token_id,
    "pad_token_id": GGUFWriter.add_pad_token_id,
}
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INSIDE = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    **{f"self_attn.{name}_proj": f"attn_{name}" for name in "qkv"},
    "self_attn.o_proj": "attn_output",
    **{f"self_attn.{name}_norm": f"attn_{name}_norm" for name in "qk"},
    **{f"mlp.{name}_proj": f"ffn_{name}" for name in ("gate", "up", "down")},
}


def write_sizes(writer: GGUFWriter, config: dict[str, Any]) -> None:
    for name, add in _SIZES.items():
        add(writer, config[name])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(10_000.0)


def write_tokens(writer: GGUFWriter, made: dict[str, Any]) -> None:
    added = {row["id"]: row for row in made["added_tokens"]}
    text = {number: token for token, number in made["model"]["vocab"].items()}
    text |= {number: row["content"] for number, row in added.items()}
    special = {True: TokenType.CONTROL, False: TokenType.USER_DEFINED}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([text[number] for number in range(len(text))])
    writer.add_token_types(
        [special[added[number]["special"]] if number in added else TokenType.NORMAL for number in range(len(text))]
    )
    writer.add_token_merges([_MERGE])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def tensor_name(name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` is `blk.0.ffn_up.weight`."""
    whole = name.removesuffix(".weight")
    if whole in _OUTSIDE:
        return f"{_OUTSIDE[whole]}.weight"
    _, _, layer, part = whole.split(".", 3)
    return f"blk.{layer}.{_INSIDE[part]}.weight"


def main() -> None:
    directory = Path(sys.argv[1])
    writer = GGUFWriter(sys.argv[2], "qwen3")
    write_sizes(writer, json.loads((directory / "config.json").read_text()))
    write_tokens(writer, json.loads((directory / "tokenizer.json").read_text()))
    for name, weights in load_file(directory / "model.safetensors").items():
        writer.add_tensor(tensor_name(name), np.ascontiguousarray(weights, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
