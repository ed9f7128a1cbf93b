"""The API kind `responses`: OpenAI's Responses API, as OpenAI, xAI and many model servers speak it."""
