from llm_router import LLMRouter, TaskType

router = LLMRouter(
    claude_api_key="valid-key",
    kimi_api_key="invalid-key",  # Will fail
    enable_fallback=True  # Automatically try Claude
)

# System op would normally use Kimi, but will fallback to Claude
response = router.complete(
    messages=[{"role": "user", "content": "Install CUDA"}],
    task_type=TaskType.SYSTEM_OPERATION
)
# Returns Claude response instead of failing

print(f"Provider: {response.provider.value}")
