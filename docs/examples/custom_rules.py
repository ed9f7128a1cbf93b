from llm_router import LLMRouter, TaskType, LLMProvider

router = LLMRouter()

# Override routing rules
router.ROUTING_RULES[TaskType.CODE_GENERATION] = LLMProvider.CLAUDE

# Now code generation uses Claude instead of Kimi K2
print(router.route_task(TaskType.CODE_GENERATION).provider.value)
