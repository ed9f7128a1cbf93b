"""Real model servers, slow: LiteLLM's proxy and `transformers serve` as script/model-servers installs them.

Their `transformers` model is one that the tests make (tiny_model); nothing is fetched, and they talk to loopback only.
"""
