from llm_router import complete_task, TaskType

response = complete_task(
    prompt="Diagnose why apt install failed with dependency errors",
    task_type=TaskType.ERROR_DEBUGGING,
    system_prompt="You are a Linux troubleshooting expert"
)

print(response)
