"""What model servers say they have, as each of them says it, and what is no such list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.served import MOST_MODELS, ServedModel, served_models

ROWS: dict[str, tuple[dict[str, Any], ServedModel]] = {
    "vLLM": ({"owned_by": "vllm", "max_model_len": 4096}, ServedModel("m", 4096, owner="vllm")),
    "Ray Serve": (
        {"owned_by": "organization-owner", "metadata": {"input_modality": "text", "max_request_context_length": 512}},
        ServedModel("m", 512, owner="organization-owner"),
    ),
    "llama.cpp": ({"meta": {"n_ctx": 4096, "n_ctx_train": 32768}}, ServedModel("m", 4096)),
    "llama.cpp, older": ({"meta": {"n_ctx_train": 32768}}, ServedModel("m", 32768)),
    "llama.cpp as a router": ({"status": {"value": "unloaded"}}, ServedModel("m", loaded=False)),
    "Moonshot": ({"context_length": 262144}, ServedModel("m", 262144)),
    "OpenRouter": (
        {"context_length": 9000, "top_provider": {"max_completion_tokens": 800}},
        ServedModel("m", 9000, 800),
    ),
    "Groq": ({"context_window": 9000, "max_completion_tokens": 800}, ServedModel("m", 9000, 800)),
    "LM Studio": (
        {"state": "loaded", "max_context_length": 9000, "loaded_context_length": 4096},
        ServedModel("m", 4096, loaded=True),
    ),
    "Anthropic": ({"max_input_tokens": 9000, "max_tokens": 800}, ServedModel("m", 9000, 800)),
    "mistral.rs": ({"owned_by": "local", "status": "loaded"}, ServedModel("m", loaded=True, owner="local")),
    "Ollama": ({"owned_by": "library"}, ServedModel("m", owner="library")),
    "nonsense": (
        {"max_model_len": True, "meta": [], "context_length": -1, "loaded": 1, "owned_by": 3, "max_tokens": "800"},
        ServedModel("m"),
    ),
    "a lie": ({"max_model_len": 10**12, "context_length": 4096}, ServedModel("m", 4096)),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "id", "meta", "n_ctx", "status"]), inner),
)


def body(*rows: object) -> bytes:
    return json.dumps({"object": "list", "data": rows}).encode()


class TestServedModels:
    @pytest.mark.parametrize("server", list(ROWS))
    def test_each_servers_words(self, server: str) -> None:
        """Context, longest answer and whether it is loaded, where each of them says it."""
        row, model = ROWS[server]
        assert served_models(body({"id": "m", **row})) == (model,)

    def test_a_bare_list(self) -> None:
        """As Together sends it."""
        assert served_models(b'[{"id": "m"}]') == (ServedModel("m"),)

    @pytest.mark.parametrize("empty", [b'{"object": "list", "data": null}', b'{"data": []}', b"[]"])
    def test_none_at_all(self, empty: bytes) -> None:
        """A server may have none, as Ollama before anything is pulled."""
        assert served_models(empty) == ()

    def test_names_that_no_setting_could_hold(self) -> None:
        """They are left out, and what is named twice counts once."""
        names = ["a b", "", "a,b", 'a"b', "a\\b", "a\nb", "x" * 257, 3, None, ["m"], "org/m:4b", "org/m:4b"]
        assert served_models(body(4, "m", *({"id": name} for name in names))) == (ServedModel("org/m:4b"),)

    def test_thousands(self) -> None:
        """Only so many are kept."""
        assert len(served_models(body(*({"id": f"m{number}"} for number in range(5000))))) == MOST_MODELS

    @pytest.mark.parametrize(
        "other", [b"", b"hello", b"\xff" * 99, b"3", b'{"data": 3}', b'{"error": "loading"}', b"[" * 100_000]
    )
    def test_what_is_no_list(self, other: bytes) -> None:
        """Any other body is refused in one way."""
        with pytest.raises(ValueError, match=r"^no (JSON|list)"):
            served_models(other)

    @given(JSON)
    def test_any_json(self, value: object) -> None:
        """Whatever is sent, what comes out is bounded, or it is refused."""
        try:
            found = served_models(json.dumps(value).encode())
        except ValueError:
            return
        assert all(len(model.id) <= 256 and (model.context_tokens or 1) > 0 for model in found)
