from llm_router import LLMRouter

router = LLMRouter(
    claude_api_key="your-claude-key",
    kimi_api_key="your-kimi-key"
)
