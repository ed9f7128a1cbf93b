from llm_router import LLMProvider, LLMRouter, TaskType

router = LLMRouter(bus=True)  # the system's keys, rules and budgets; none of your own

response = router.complete(
    messages=[{"role": "user", "content": "Why did nginx not start?"}],
    task_type=TaskType.ERROR_DEBUGGING
)

print(f"{response.provider.value}: {response.content}")
print(f"Cost: ${response.cost_usd:.6f}")
print(f"Settled in the ledger: {response.raw_response['settled']}")

# A rule of your own goes along with each of your calls; where you set none, the system's routing holds
router.ROUTING_RULES[TaskType.ERROR_DEBUGGING] = LLMProvider.CLAUDE
print(router.route_task(TaskType.ERROR_DEBUGGING).provider.value)

router.close()
