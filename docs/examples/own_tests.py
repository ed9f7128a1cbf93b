from unittest.mock import MagicMock, patch

from llm_router import LLMRouter

with patch("llm_router.Anthropic") as sdk:
    answer = sdk.return_value.messages.create.return_value
    answer.content[0].text = "Hello from a fake"
    answer.usage.input_tokens, answer.usage.output_tokens = 10, 5
    print(LLMRouter(claude_api_key="any").complete([{"role": "user", "content": "Hi"}]).content)

# or put a client of your own in the place of the SDK's
router = LLMRouter(claude_api_key="any")
router.claude_client = MagicMock()
router.claude_client.messages.create.return_value = answer
print(router.complete([{"role": "user", "content": "Hi"}]).cost_usd)
