"""With dbus-python (Debian: python3-dbus): an answer and a stream."""

import json
import os
import sys

import dbus

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
TIMEOUT_S = 600

prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
bus = dbus.SystemBus()


def router():
    """A new proxy for each call: an old one holds on to a service that may have left."""
    return dbus.Interface(bus.get_object(NAME, PATH), NAME)


# Say the types: dbus-python guesses a list's by its first element.
messages = dbus.Array([dbus.Dictionary({"role": "user", "content": prompt}, signature="sv")], signature="a{sv}")
options = dbus.Dictionary({"max_tokens": 200}, signature="sv")

content, metadata = router().CompleteWithOptions("user_chat", messages, options, timeout=TIMEOUT_S)
print(f"{content}\n{metadata['cost_nano_usd'] / 1e9:.9f} USD")

nothing = dbus.Dictionary({}, signature="sv")
request_id, stream = router().OpenStream("user_chat", messages, nothing, timeout=TIMEOUT_S)
with os.fdopen(stream.take(), encoding="utf-8") as lines:  # closing it early cancels the request
    for line in lines:
        event = json.loads(line)
        if event["type"] == "error":
            sys.exit(f"{event['name']}: {event['message']}")
        print(event.get("text", ""), end="", flush=True)
print()
