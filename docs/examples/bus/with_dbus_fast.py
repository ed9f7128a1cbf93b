"""With dbus-fast, Home Assistant's descendant of dbus-next: an answer and a stream."""

import asyncio
import json
import os
import sys

from dbus_fast import BusType, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"


async def call(bus, member, signature, *body):
    """The reply's body and file descriptors; an error of the service as an exception."""
    message = Message(
        destination=NAME,
        path=PATH,
        interface=NAME,
        member=member,
        signature=signature,
        body=list(body),
        flags=MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION,  # polkit may ask for a password
    )
    reply = await asyncio.wait_for(bus.call(message), 600)
    if reply.message_type is MessageType.ERROR:
        raise RuntimeError(f"{reply.error_name}: {reply.body[0]}")
    return reply.body, reply.unix_fds


def show(stream):
    """Events as they come; in a program of its own this runs in a thread."""
    for line in stream:
        event = json.loads(line)
        if event["type"] == "error":
            raise RuntimeError(f"{event['name']}: {event['message']}")
        print(event.get("text", ""), end="", flush=True)
    print()


async def main(prompt):
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    messages = [{"role": Variant("s", "user"), "content": Variant("s", prompt)}]
    options = {"max_tokens": Variant("i", 200)}

    (content, metadata), _ = await call(bus, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", messages, options)
    print(f"{content}\n{metadata['cost_nano_usd'].value / 1e9:.9f} USD")

    (_request_id, index), descriptors = await call(bus, "OpenStream", "saa{sv}a{sv}", "user_chat", messages, {})
    with os.fdopen(descriptors[index], encoding="utf-8") as stream:  # closing it early cancels the request
        await asyncio.to_thread(show, stream)
    bus.disconnect()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"))
