from llm_router import LLMRouter, TaskType

router = LLMRouter()

from llm_router import LLMProvider

# Force Claude even for system operations
response = router.complete(
    messages=[{"role": "user", "content": "Install PostgreSQL"}],
    task_type=TaskType.SYSTEM_OPERATION,
    force_provider=LLMProvider.CLAUDE
)

print(f"Provider: {response.provider.value}")
