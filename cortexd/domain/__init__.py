"""The words that every room uses: messages, tasks, money, and values that are safe to pass on. No I/O, no asyncio."""
