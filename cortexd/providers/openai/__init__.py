"""The API kind `openai`: chat completions, as OpenAI, Moonshot and most others speak them."""
