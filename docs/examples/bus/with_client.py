"""With the package's own client: an answer, a stream, and what it costs."""

import sys

from cortexd.client import Client

prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"

with Client() as client:
    answer = client.complete("user_chat", prompt, max_tokens=200)
    print(f"{answer.content}\n{answer.provider}, {answer.cost_usd:.9f} USD")

    with client.stream("user_chat", prompt) as stream:
        for piece in stream:
            print(piece, end="", flush=True)
    print(f"\n{stream.completion.cost_usd:.9f} USD")
