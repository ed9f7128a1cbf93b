from llm_router import LLMRouter, TaskType

router = LLMRouter()

# User chat (automatically routed to Claude)
response = router.complete(
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello! What can you help me with?"}
    ],
    task_type=TaskType.USER_CHAT
)

print(f"Provider: {response.provider.value}")
print(f"Response: {response.content}")
print(f"Cost: ${response.cost_usd:.6f}")
