from llm_router import LLMRouter

router = LLMRouter()

stream = router.stream([{"role": "user", "content": "Tell me about apt."}])
for piece in stream:
    print(piece, end="", flush=True)

print(f"\n{stream.response.provider}: ${stream.response.cost_usd:.6f}")
