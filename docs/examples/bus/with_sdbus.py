"""With sdbus, which is sd-bus of libsystemd: an answer and a stream."""

import json
import os
import sys

from sdbus import DbusInterfaceCommon, dbus_method, sd_bus_open_system

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"


class Router(DbusInterfaceCommon, interface_name=NAME):
    @dbus_method("saa{sv}a{sv}")
    def complete_with_options(self, task_type, messages, options):
        raise NotImplementedError  # sdbus makes the call: the name of the method is CompleteWithOptions

    @dbus_method("saa{sv}a{sv}")
    def open_stream(self, task_type, messages, options):
        raise NotImplementedError


prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
bus = sd_bus_open_system()
bus.method_call_timeout_usec = 600 * 1_000_000
router = Router(NAME, PATH, bus)
messages = [{"role": ("s", "user"), "content": ("s", prompt)}]  # a variant is its type and its value

content, metadata = router.complete_with_options("user_chat", messages, {"max_tokens": ("i", 200)})
print(f"{content}\n{metadata['cost_nano_usd'][1] / 1e9:.9f} USD")

request_id, descriptor = router.open_stream("user_chat", messages, {})
with os.fdopen(descriptor, encoding="utf-8") as lines:  # closing it early cancels the request
    for line in lines:
        event = json.loads(line)
        if event["type"] == "error":
            sys.exit(f"{event['name']}: {event['message']}")
        print(event.get("text", ""), end="", flush=True)
print()
