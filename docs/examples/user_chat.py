from llm_router import LLMRouter, TaskType

def chat_with_user(user_message: str):
    """Handle user-facing chat interactions."""
    router = LLMRouter()

    response = router.complete(
        messages=[
            {"role": "system", "content": "You are Cortex, a friendly AI assistant."},
            {"role": "user", "content": user_message}
        ],
        task_type=TaskType.USER_CHAT
    )

    # Claude's superior natural language understanding
    return response.content

print(chat_with_user("What can you do?"))
