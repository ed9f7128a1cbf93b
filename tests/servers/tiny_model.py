"""Makes the model that `transformers serve` serves in the tests: `python tests/servers/tiny_model.py DIRECTORY`.

A Qwen3 of one layer whose weights are written, not trained, in a second: each token brings about the next one of its
answer, and attention, the same to everything said so far, picks the answer by a cue word of the prompt. Run by the
interpreter of the servers' own environment; imports nothing of ours.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

END, PAD, START = "<|im_end|>", "<|endoftext|>", "<|im_start|>"
ANCHOR = f"{START}assistant\n"
RESULT = "<|result|>"
# cue -> what the model then says, piece by piece. Without a cue: PLAIN. A piece stands in one answer only.
PLAIN = ("Hello", "!", " I", " am", " a", " tiny", " model", ".", END)
ANSWERS = {
    "COUNT": (" one", " two", " three", " four", " five", " six", " seven", " eight", " one"),  # without an end
    "WEATHER": ("<tool_call>", '{"name": "get_weather", ', '"arguments": {"city": "Berlin"}}', "</tool_call>", END),
    "THINK": ("<think>", "Hmm", " hmm", "</think>", "So", " be", " it", END),
    RESULT: ("It", " rains", " there", END),  # comes from the template, after a tool's result
}  # fmt: skip
TEMPLATE = (
    "{%- for m in messages %}"
    f"{{{{- '{START}' + m.role + '\\n' }}}}"
    f"{{%- if m.role == 'tool' %}}{{{{- '{RESULT}' }}}}{{%- endif %}}"
    "{%- if m.content is string %}{{- m.content }}{%- endif %}"
    "{%- if m.tool_calls %}{{- m.tool_calls | tojson }}{%- endif %}"
    f"{{{{- '{END}\\n' }}}}"
    "{%- endfor %}"
    f"{{%- if add_generation_prompt %}}{{{{- '{START}assistant\\n' }}}}{{%- endif %}}"
)
_SURE, _CUE, _DEFAULT = 100.0, 10.0, 0.001


def tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte, for each cue and for each piece of an answer; the latter come of no text."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = dict.fromkeys(piece for answer in (PLAIN, *ANSWERS.values()) for piece in answer if piece != END)
    spelled = [words.pre_tokenize_str(piece)[0][0] for piece in pieces]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys([END, PAD, *letters, *spelled]))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = words, decoders.ByteLevel()
    made.add_special_tokens([AddedToken(END, special=True), AddedToken(PAD, special=True)])
    made.add_tokens([AddedToken(cue, special=False, normalized=False) for cue in (ANCHOR, *ANSWERS)])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=PAD)
    fast.chat_template = TEMPLATE
    return fast


def model(fast: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    def number(piece: str) -> int:
        spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(piece)[0][0]
        found = fast.convert_tokens_to_ids(piece if piece in (END, ANCHOR, *ANSWERS) else spelled)
        assert isinstance(found, int), piece
        return found

    size, cues = len(fast), len(ANSWERS)
    hidden = -(-(size + cues) // 16) * 16  # a place for each token, and one for each cue that was heard
    config = Qwen3Config(
        vocab_size=size, hidden_size=hidden, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=4096, tie_word_embeddings=False,
        eos_token_id=number(END), pad_token_id=fast.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    made = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.zero_()  # no key, no query: attention is the mean of all that was said
        layer = made.model.layers[0].self_attn
        made.model.embed_tokens.weight[:, :size] = torch.eye(size)
        following = made.lm_head.weight
        following[number(PLAIN[0]), number(ANCHOR)] = _SURE + _DEFAULT
        for place, (cue, answer) in enumerate(ANSWERS.items()):
            layer.v_proj.weight[place, number(cue)] = 1.0
            layer.o_proj.weight[size + place, place] = 1.0
            following[number(answer[0]), number(ANCHOR)] = _SURE
            following[number(answer[0]), size + place] = _CUE * (3 if cue == RESULT else 1)
        for answer in (PLAIN, *ANSWERS.values()):
            for before, after in pairwise(answer):
                following[number(after), number(before)] = _SURE
    made.generation_config.do_sample = False
    return made


def main() -> None:
    directory = Path(sys.argv[1])
    fast = tokenizer()
    fast.save_pretrained(directory)
    model(fast).save_pretrained(directory)


if __name__ == "__main__":
    main()
