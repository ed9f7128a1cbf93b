from llm_router import LLMProvider, LLMRouter, TaskType

router = LLMRouter()

tools = [{
    "type": "function",
    "function": {
        "name": "execute_bash",
        "description": "Execute bash command in sandbox",
        "parameters": {
            "type": "object",
            "required": ["command"],
            "properties": {
                "command": {
                    "type": "string",
                    "description": "Bash command to execute"
                }
            }
        }
    }
}]

response = router.complete(
    messages=[{"role": "user", "content": "Install git"}],
    task_type=TaskType.SYSTEM_OPERATION,
    tools=tools
)

# Model will autonomously decide when to call tools
for call in response.tool_calls:
    print(response.provider, call["function"]["name"], call["function"]["arguments"])

# Claude is offered the same tool, and its calls come back in the same form
response = router.complete(
    messages=[{"role": "user", "content": "Install git"}],
    force_provider=LLMProvider.CLAUDE,
    tools=tools
)
for call in response.tool_calls:
    print(response.provider, call["function"]["name"], call["function"]["arguments"])
