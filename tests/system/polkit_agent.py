"""A polkit authentication agent that needs no password: it is root, and polkit takes root's word for who answered.

`with PolkitAgent(pid, "allow") as agent:` registers one for a process; `agent.asked` is what it was asked.
As a program: `python -m tests.system.polkit_agent PID ANSWER` prints one JSON object per line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

from dbus_next import BusType, Message, MessageType, Variant
from dbus_next.aio import MessageBus

from tests.eventually import assert_eventually

# "refuse" is a wrong password, "dismiss" the dialog's Cancel button, "wait" a person who has left the room.
Answer = Literal["allow", "refuse", "dismiss", "wait"]
_PATH = "/org/cortexlinux/tests/Agent"
_AUTHORITY = {
    "destination": "org.freedesktop.PolicyKit1",
    "path": "/org/freedesktop/PolicyKit1/Authority",
    "interface": "org.freedesktop.PolicyKit1.Authority",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt: its action, the words a person would read, polkit's details, and the uids that may answer."""

    action_id: str
    message: str
    details: dict[str, str]
    uids: list[int]


class PolkitAgent:
    """The agent as a process of its own, from `with` to the end of the block."""

    def __init__(self, pid: int, answer: Answer) -> None:
        self._argv = [sys.executable, "-m", __name__, str(pid), answer]
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert_eventually(lambda: self._named("registered") or self._process.poll() is not None)
        if not self._named("registered"):
            self.__exit__()
            raise AssertionError(f"polkit registered no agent: {self._events}")
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)

    @property
    def asked(self) -> list[Asked]:
        return [Asked(**event["asked"]) for event in self._named("asked")]

    @property
    def cancelled(self) -> bool:
        return bool(self._named("cancelled"))

    def _named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in list(self._events) if name in event]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._events.append(json.loads(line))


class _Agent:
    """The program's half: answers the two methods that polkit calls."""

    def __init__(self, bus: MessageBus, answer: Answer) -> None:
        self._bus = bus
        self._answer = answer
        self._asked: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._handle)

    async def register(self, pid: int) -> None:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        start_time = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        subject = {
            "pid": Variant("u", pid),
            "start-time": Variant("t", start_time),
            "uid": Variant("i", int(status["Uid"].split()[0])),
        }
        await self._call("RegisterAuthenticationAgent", "(sa{sv})ss", [["unix-process", subject], "C.UTF-8", _PATH])
        _print(registered=pid)

    def _handle(self, message: Message) -> Message | bool:
        if message.member == "BeginAuthentication":
            task = asyncio.get_running_loop().create_task(self._begin(message))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            return True
        if message.member == "CancelAuthentication":
            _print(cancelled=True)
            return Message.new_method_return(message)
        return False

    async def _begin(self, message: Message) -> None:
        action_id, words, _icon, details, cookie, identities = message.body
        uids = [identity["uid"].value for kind, identity in identities if kind == "unix-user"]
        _print(asked={"action_id": action_id, "message": words, "details": details, "uids": uids})
        reply = Message.new_method_return(message)
        if self._answer == "wait":
            return
        if self._answer == "allow":
            # The older method: its successor wants the uid of who registered, and from polkit 126 on the subject's.
            await self._call("AuthenticationAgentResponse", "s(sa{sv})", [cookie, identities[0]])
        elif self._answer == "dismiss":
            reply = Message.new_error(message, "org.freedesktop.PolicyKit1.Error.Cancelled", "dismissed")
        self._bus.send(reply)

    async def _call(self, member: str, signature: str, body: list[Any]) -> None:
        reply = await self._bus.call(Message(**_AUTHORITY, member=member, signature=signature, body=body))
        if reply is None or reply.message_type is MessageType.ERROR:
            raise SystemExit(f"{member}: {reply and reply.body}")


def _print(**event: object) -> None:
    print(json.dumps(event), flush=True)


async def _main(pid: int, answer: Answer) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await _Agent(bus, answer).register(pid)
    await bus.wait_for_disconnect()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), cast("Answer", sys.argv[2])))
