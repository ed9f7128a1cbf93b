import asyncio

from llm_router import LLMRouter, TaskType

async def main():
    async with LLMRouter() as router:
        router.set_rate_limit(max_concurrent=10)
        answers = await router.complete_batch(
            [
                {"messages": [{"role": "user", "content": f"Explain exit code {code}"}],
                 "task_type": TaskType.ERROR_DEBUGGING}
                for code in (1, 2, 127)
            ]
        )
    for answer in answers:  # an LLMResponse, or the exception in its place
        print(repr(answer) if isinstance(answer, Exception) else answer.content)

asyncio.run(main())
