"""With jeepney, which is Python alone: an answer, a stream, and what both cost, as signals."""

import json
import sys
from collections import deque

from jeepney import DBusAddress, MatchRule, new_method_call
from jeepney.io.blocking import open_dbus_connection
from jeepney.wrappers import unwrap_msg

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
TIMEOUT_S = 600
ROUTER = DBusAddress(PATH, bus_name=NAME, interface=NAME)
USAGE = DBusAddress(PATH, bus_name=NAME, interface=f"{NAME}.Usage")

prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
messages = [{"role": ("s", "user"), "content": ("s", prompt)}]  # a variant is its type and its value


def call(address, member, signature, *body):
    """The reply's body; an error of the service as DBusErrorResponse."""
    return unwrap_msg(bus.send_and_get_reply(new_method_call(address, member, signature, body), timeout=TIMEOUT_S))


with open_dbus_connection("SYSTEM", enable_fds=True) as bus:
    # The filter comes before the calls: signals that arrive before a reply are thrown away but for it.
    costs = MatchRule(type="signal", interface=NAME, member="CostIncurred")
    with bus.filter(costs, queue=deque()) as heard:
        call(USAGE, "Subscribe", "a{sv}", {})

        content, metadata = call(
            ROUTER, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", messages, {"max_tokens": ("i", 200)}
        )
        print(f"{content}\n{metadata['cost_nano_usd'][1] / 1e9:.9f} USD")

        request_id, stream = call(ROUTER, "OpenStream", "saa{sv}a{sv}", "user_chat", messages, {})
        with stream.to_file("r", encoding="utf-8") as lines:  # closing it early cancels the request
            for line in lines:
                event = json.loads(line)
                if event["type"] == "error":
                    sys.exit(f"{event['name']}: {event['message']}")
                print(event.get("text", ""), end="", flush=True)
        print()

        for _ in range(2):
            signal = bus.recv_until_filtered(heard, timeout=10)
            _, task_type, provider, _, usd, _ = signal.body
            print(f"{task_type} by {provider}: {usd:.9f} USD")
