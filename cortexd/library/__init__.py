"""The rooms behind llm_router.py: cortexd's routing, catalogue and translation in the caller's own process, no bus.

`types` and `errors` are light and imported with llm_router; everything else comes with the first LLMRouter.
"""
