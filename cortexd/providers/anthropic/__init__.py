"""The API kind `anthropic`: Claude's Messages API."""
