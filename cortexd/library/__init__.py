"""The rooms behind llm_router.py: cortexd's routing and translation in the caller's own process, or over the bus.

`types` and `errors` are light and imported with llm_router; everything else comes with the first LLMRouter.
"""
