from llm_router import LLMRouter, TaskType

router = LLMRouter()

# System operations automatically routed to Kimi K2
response = router.complete(
    messages=[
        {"role": "system", "content": "You are a Linux system administrator."},
        {"role": "user", "content": "Install CUDA drivers for NVIDIA RTX 4090"}
    ],
    task_type=TaskType.SYSTEM_OPERATION
)

print(f"Provider: {response.provider.value}")  # kimi_k2
print(f"Instructions: {response.content}")
