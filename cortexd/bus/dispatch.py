"""Method calls to handlers: the interface file says which there are, this finds, runs and answers them.

Every call ends in exactly one reply (or none, where none is wanted): a return, an error of ours, or Internal
with an id for the log. A handler never sees a message, a reply never carries a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cortexd.access import HeldBytes, Load
from cortexd.authority import Action, Authorizer, Caller
from cortexd.bus.caller import Callers
from cortexd.bus.interface import Interface, InterfaceMismatch, Method
from cortexd.connection import Connection, Message, MessageType, Variant, method_return, wants_reply, wire
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import CortexError, Internal, RateLimited
from cortexd.requests.internal_errors import internal_error

log = logging.getLogger("cortexd.dispatch")

Handler = Callable[..., Awaitable[list[Any]]]
_STANDARD = "org.freedesktop.DBus."
_ERROR = f"{_STANDARD}Error."
_CALLS_PER_CONNECTION = 2048  # the bus allows 128 pending; calls that want no reply are not counted there
_CALLS_PER_USER = 4096  # a user may have 256 connections
_NO_DESCRIPTORS = (
    "the answer is a file descriptor, and your connection takes none: let it negotiate them (NEGOTIATE_UNIX_FD, a "
    "flag in most libraries), or call CompleteWithOptions"
)
_MAX_WORDS = 1024  # the words of an error may quote the caller


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A file descriptor in a reply's body; the dispatcher sends a copy and closes this one."""

    descriptor: int


class Dispatcher:
    """Routes the connection's calls. `handlers` and `properties` are keyed by (interface, member)."""

    def __init__(
        self,
        connection: Connection,
        interface: Interface,
        callers: Callers,
        authorizer: Authorizer,
        handlers: dict[tuple[str, str], Handler],
        properties: dict[tuple[str, str], Callable[[], Variant]],
        held: HeldBytes,
    ) -> None:
        if missing := sorted(set(interface.methods) ^ set(handlers)):
            raise InterfaceMismatch(f"the interface file and the handlers disagree about {missing}")
        if missing := sorted(set(interface.properties) ^ set(properties)):
            raise InterfaceMismatch(f"the interface file and the properties disagree about {missing}")
        self._connection = connection
        self._interface = interface
        self._callers = callers
        self._authorizer = authorizer
        self._handlers = handlers
        self._properties = properties
        self._held = held
        self._tasks: defaultdict[str, dict[asyncio.Task[None], Load]] = defaultdict(dict)
        self._calls_of: Counter[int] = Counter()
        callers.on_left.append(self._caller_left)

    def on_call(self, message: Message) -> None:
        """Take one method call; answers at once or from a task of its own."""
        answer = self._standard(message)
        if answer is not None:
            self._send(message, answer)
            return
        method = self._method(message)
        if isinstance(method, Message):
            self._send(message, method)
            return
        tasks = self._tasks[message.sender]
        if len(tasks) >= _CALLS_PER_CONNECTION:
            busy = RateLimited(
                "This connection has too many calls under way. Wait until some have ended.", retry_after_ms=1000
            )
            self._send(message, _error(message, busy))
            return
        try:
            load = self._held.take(self._callers.known_uid(message.sender), wire.weight(message.body))
        except RateLimited as error:
            self._send(message, _error(message, error))
            return
        task = asyncio.create_task(self._run(message, method, load), name=method.name)
        tasks[task] = load

    def may_be_read(self, message: Message, size: int) -> bool:
        """Whether there is room for a large call whose content is still bytes; where there is none it is answered."""
        try:
            self._held.check(self._callers.known_uid(message.sender), size)
        except RateLimited as error:
            self._send(message, _error(message, error))
            return False
        return True

    @property
    def calls_under_way(self) -> int:
        return sum(map(len, self._tasks.values()))

    async def drain(self, timeout_s: float) -> None:
        """Wait for the handlers under way to send their replies; cancel what is left."""
        calls = [(sender, task) for sender, tasks in self._tasks.items() for task in tasks]
        if calls:
            _, late = await asyncio.wait([task for _, task in calls], timeout=timeout_s)
            for sender, task in calls:
                if task in late:
                    self._cancel(sender, task)

    async def _run(self, message: Message, method: Method, load: Load) -> None:
        try:
            reply = await self._outcome(message, method, load)
            try:
                self._send(message, reply)
            finally:
                for descriptor in reply.unix_fds:
                    os.close(descriptor)  # what was sent is a copy
        finally:
            self._ended(message.sender, asyncio.current_task())

    async def _outcome(self, message: Message, method: Method, load: Load) -> Message:
        """The reply, whatever becomes of the call."""
        try:
            return await self._reply(message, method, load)
        except CortexError as error:
            error.__traceback__ = None  # its frames hold the task that holds it, and the prompt
            return _error(message, error)
        except Exception:  # noqa: BLE001 - a fault of ours must not reach the caller as text
            return _error(message, internal_error("in %s", method.name))

    async def _reply(self, message: Message, method: Method, load: Load) -> Message:
        caller = await self._callers.resolve(message, load)
        self._authorizer.admit(caller)
        uid = caller.uid
        if self._calls_of[uid] >= _CALLS_PER_USER:
            raise RateLimited("You have too many calls under way. Wait until some have ended.", retry_after_ms=1000)
        self._calls_of[uid] += 1
        try:
            return await self._answer(message, method, caller)
        finally:
            self._calls_of[uid] -= 1
            if not self._calls_of[uid]:
                del self._calls_of[uid]

    async def _answer(self, message: Message, method: Method, caller: Caller) -> Message:
        if method.action not in (None, Action.COMPLETE):
            await self._authorizer.authorize(caller, method.action)
        arguments = message.body
        message.body = []  # all that is needed of it from here on are its serial and its sender
        body = await self._handlers[method.interface, method.name](caller, *arguments)
        handed = [item.descriptor for item in body if isinstance(item, HandedOver)]
        if method.action is not None and not _was_granted(caller, method.action):
            for descriptor in handed:
                os.close(descriptor)
            log.critical("%s answered without the authorization that the interface file demands", method.name)
            raise Internal("the service did not check the authorization; this is a fault in cortexd, please report it")
        if handed:
            indexes = iter(range(len(handed)))
            body = [next(indexes) if isinstance(item, HandedOver) else item for item in body]
        return method_return(message, method.gives, body, handed)

    def _method(self, message: Message) -> Method | Message:
        """The method that a call means, or the error that answers it."""
        if message.path != wire.OBJECT_PATH:
            return _standard_error(message, "UnknownObject", f"no object at {message.path}; use {wire.OBJECT_PATH}")
        if message.interface is None:
            found = [item for (_, name), item in self._interface.methods.items() if name == message.member]
            method = found[0] if len(found) == 1 else None
        else:
            method = self._interface.methods.get((message.interface, message.member))
        if method is None:
            return _standard_error(message, "UnknownMethod", f"no method {message.interface}.{message.member}")
        if message.signature not in method.accepted:
            words = f"{method.name} takes ({method.takes}), got ({message.signature})"
            return _standard_error(message, "InvalidArgs", words)
        return method

    def _standard(self, message: Message) -> Message | None:
        """The interfaces that every object has; None where the call means none of them."""
        if message.interface is not None and not message.interface.startswith(_STANDARD):
            return None
        answer = _STANDARD_METHODS.get((message.member, message.signature))
        if answer is not None and message.interface in (None, f"{_STANDARD}{answer[0]}"):
            return answer[1](self, message)
        if message.interface is None:
            return None
        return _standard_error(message, "UnknownMethod", f"no method {message.interface}.{message.member}")

    def _introspect(self, message: Message) -> Message:
        text = self._interface.introspection(message.path)
        if text is None:
            return _standard_error(message, "UnknownObject", f"no object at {message.path}")
        return method_return(message, "s", [text])

    def _ping(self, message: Message) -> Message:
        return method_return(message)

    def _machine_id(self, message: Message) -> Message:
        for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
            with contextlib.suppress(OSError), open(file, encoding="ascii") as stream:
                return method_return(message, "s", [stream.read().strip()])
        return _standard_error(message, "Failed", "this machine has no machine id")

    def _get(self, message: Message) -> Message:
        interface, name = message.body
        read = self._properties.get((interface, name))
        if read is None or message.path != wire.OBJECT_PATH:
            return _standard_error(message, "UnknownProperty", f"no property {interface}.{name} at {message.path}")
        return method_return(message, "v", [read()])

    def _get_all(self, message: Message) -> Message:
        [interface] = message.body
        values = {
            name: read()
            for (owner, name), read in self._properties.items()
            if owner == interface and message.path == wire.OBJECT_PATH
        }
        return method_return(message, "a{sv}", [values])

    def _set(self, message: Message) -> Message:
        interface, name = message.body[:2]
        if (interface, name) not in self._properties:
            return _standard_error(message, "UnknownProperty", f"no property {interface}.{name}")
        return _standard_error(message, "PropertyReadOnly", f"{name} is read-only")

    def _send(self, message: Message, reply: Message) -> None:
        if wants_reply(message):
            self._connection.send(reply, (lambda name: self._undelivered(message, name)) if reply.unix_fds else None)

    def _undelivered(self, message: Message, name: str) -> None:
        """dbus-daemon tells the caller nothing where it takes no descriptors. What was handed over is closed by now."""
        if name == f"{_ERROR}NotSupported":
            self._send(message, _standard_error(message, "NotSupported", _NO_DESCRIPTORS))

    def _caller_left(self, connection: str) -> None:
        for task in self._tasks.get(connection, ()):
            self._cancel(connection, task)

    def _cancel(self, sender: str, task: asyncio.Task[None]) -> None:
        task.cancel()
        task.add_done_callback(lambda done: self._ended(sender, done))  # one that never began cannot say so itself

    def _ended(self, sender: str, task: asyncio.Task[None] | None) -> None:
        """A call is over. Again is harmless."""
        tasks = self._tasks.get(sender)
        load = tasks.pop(task, None) if tasks and task else None
        if load is not None:
            load.free()
        if not tasks:
            self._tasks.pop(sender, None)


_STANDARD_METHODS: dict[tuple[str, str], tuple[str, Callable[[Dispatcher, Message], Message]]] = {
    ("Introspect", ""): ("Introspectable", Dispatcher._introspect),
    ("Ping", ""): ("Peer", Dispatcher._ping),
    ("GetMachineId", ""): ("Peer", Dispatcher._machine_id),
    ("Get", "ss"): ("Properties", Dispatcher._get),
    ("GetAll", "s"): ("Properties", Dispatcher._get_all),
    ("Set", "ssv"): ("Properties", Dispatcher._set),
}


def _was_granted(caller: Caller, action: Action) -> bool:
    return action in caller.granted or (action is Action.COMPLETE and Action.SYSTEM_OPERATION in caller.granted)


def _error(message: Message, error: CortexError) -> Message:
    return Message(
        message_type=MessageType.ERROR,
        reply_serial=message.serial,
        destination=message.sender,
        error_name=wire.error_name(error),
        signature="s",
        body=[wire.error_text(error)],
    )


def _standard_error(message: Message, name: str, words: str) -> Message:
    return Message.new_error(message, f"{_ERROR}{name}", bounded_text(words, _MAX_WORDS))
