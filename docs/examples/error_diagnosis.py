from llm_router import LLMRouter, TaskType

def diagnose_error(error_message: str, command: str):
    """Diagnose installation errors and suggest fixes."""
    router = LLMRouter()

    response = router.complete(
        messages=[
            {"role": "system", "content": "You are a Linux troubleshooting expert."},
            {"role": "user", "content": f"Command: {command}\nError: {error_message}\nWhat went wrong and how to fix?"}
        ],
        task_type=TaskType.ERROR_DEBUGGING
    )

    # Kimi K2's superior debugging capabilities
    return response.content

print(diagnose_error("E: Unable to locate package cuda", "apt install cuda"))
