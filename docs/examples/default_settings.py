from llm_router import LLMProvider, LLMRouter

router = LLMRouter(
    claude_api_key=None,              # Reads from ANTHROPIC_API_KEY
    kimi_api_key=None,                # Reads from MOONSHOT_API_KEY
    default_provider=LLMProvider.CLAUDE,  # Fallback if routing fails
    enable_fallback=True,             # Try alternate if primary fails
    track_costs=True                  # Track usage statistics
)
