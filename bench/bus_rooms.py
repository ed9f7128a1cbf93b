"""What stands between the bus and a request's life, alone: a service whose answer to each `Complete` is there already.

    python -m bench.bus_rooms

Owns the daemon's name; the connection, the dispatcher, the callers, polkit (asked once, then remembered) and the reply
are the daemon's own. What a call costs here is what no provider, ledger or router has a part in.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from cortexd.access import HeldBytes
from cortexd.authority import Action, Caller
from cortexd.authority.polkit import Polkit
from cortexd.bus import replies
from cortexd.bus.caller import Callers
from cortexd.bus.dispatch import Dispatcher, Handler
from cortexd.bus.interface import Interface, load_interface
from cortexd.config.settings import AuthorizationSettings, LimitSettings
from cortexd.connection import Connection, Variant, system_address, wire
from cortexd.domain.messages import Answer, Usage
from cortexd.domain.tasks import TaskType
from cortexd.ledger import AttemptRecord
from cortexd.requests.results import Completion

MODEL = "claude-sonnet-5-5"
NANO, MS = 104_000, 3


def completion(number: int) -> Completion:
    usage = Usage(input_tokens=12, output_tokens=8)
    answer = Answer("Hello there, how are you today?", MODEL, usage, time_to_first_token_ms=MS)
    attempt = AttemptRecord("claude", MODEL, "ok", NANO, True, usage, MS)
    return Completion(
        request_id=f"{number:032x}",
        task_type=TaskType.USER_CHAT,
        content=answer.content,
        provider="claude",
        model=MODEL,
        cost_nano=NANO,
        cost_known=True,
        latency_ms=MS,
        route_reason="default for user_chat",
        finish_reason=answer.finish_reason,
        answer=answer,
        attempts=(attempt,),
        secrets_found={},
    )


class Answering:
    def __init__(self, polkit: Polkit) -> None:
        self._polkit = polkit
        self._answered = 0

    async def complete(self, caller: Caller, *_request: Any) -> list[Any]:
        await self._polkit.authorize(caller, Action.COMPLETE, (TaskType.USER_CHAT,))
        self._answered += 1
        made = completion(self._answered)
        return [wire.string(made.content), wire.dictionary(replies.metadata(made))]

    async def nothing(self, *_arguments: Any) -> list[Any]:
        return []

    def handlers(self, interface: Interface) -> dict[tuple[str, str], Handler]:
        names = {(wire.INTERFACE, "Complete"), (wire.INTERFACE, "CompleteWithOptions")}
        return {member: self.complete if member in names else self.nothing for member in interface.methods}


async def name_of(uid: int) -> str:
    return str(uid)


async def serve() -> None:
    connection = await Connection.open(system_address(), unwrapped=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    callers, interface = Callers(connection, name_of), load_interface()
    settings = AuthorizationSettings()
    polkit = Polkit(connection, lambda: settings)
    properties = {member: lambda: Variant("s", "") for member in interface.properties}
    handlers = Answering(polkit).handlers(interface)
    held = HeldBytes(LimitSettings())
    dispatcher = Dispatcher(connection, interface, callers, polkit, handlers, properties, held)
    connection.on_call, connection.may_read = dispatcher.on_call, dispatcher.may_be_read
    await connection.request_name(wire.BUS_NAME)
    await stop.wait()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(serve())
