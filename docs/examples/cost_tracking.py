from llm_router import LLMRouter, TaskType

router = LLMRouter(track_costs=True)

# Make several requests...
response1 = router.complete([{"role": "user", "content": "Hello!"}])
response2 = router.complete([{"role": "user", "content": "Install CUDA"}], task_type=TaskType.SYSTEM_OPERATION)

# Get statistics
stats = router.get_stats()
print(f"Total requests: {stats['total_requests']}")
print(f"Total cost: ${stats['total_cost_usd']}")
print(f"Claude requests: {stats['providers']['claude']['requests']}")
print(f"Kimi K2 requests: {stats['providers']['kimi_k2']['requests']}")

# Reset for new session
router.reset_stats()
