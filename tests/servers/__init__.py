"""Real model servers, slow: LiteLLM's proxy, `transformers serve` and llama.cpp's, as script/model-servers has them.

Their model is one that the tests make (tiny_model, gguf_model); nothing is fetched, and they talk to loopback only.
"""
