"""With dasbus (Debian: python3-dasbus): an answer and a stream."""

import json
import os
import sys

from dasbus.connection import SystemMessageBus
from dasbus.typing import get_variant
from dasbus.unix import GLibClientUnix

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
TIMEOUT_MS = 600_000

prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
# Without GLibClientUnix a stream's descriptor is 0: its place in a list, and your standard input.
router = SystemMessageBus().get_proxy(NAME, PATH, interface_name=NAME, client=GLibClientUnix)
messages = [{"role": get_variant("s", "user"), "content": get_variant("s", prompt)}]
options = {"max_tokens": get_variant("i", 200)}

content, metadata = router.CompleteWithOptions("user_chat", messages, options, timeout=TIMEOUT_MS)
print(f"{content}\n{metadata['cost_nano_usd'].unpack() / 1e9:.9f} USD")

request_id, descriptor = router.OpenStream("user_chat", messages, {}, timeout=TIMEOUT_MS)
with os.fdopen(descriptor, encoding="utf-8") as lines:  # closing it early cancels the request
    for line in lines:
        event = json.loads(line)
        if event["type"] == "error":
            sys.exit(f"{event['name']}: {event['message']}")
        print(event.get("text", ""), end="", flush=True)
print()
