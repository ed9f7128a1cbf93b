"""`LLMRouter()`: cortexd's routing, catalogue and translation in the caller's own process, with keys of its own."""
