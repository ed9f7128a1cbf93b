"""Asking polkit, by the sender's bus name. Every doubt is a no.

polkit serves the whole machine, and the bus drops the 129th pending call of any connection: at most 64
checks are in flight, identical ordinary checks share one, and one prompt per user is open at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortexd.access import Turns
from cortexd.authority import Action, Caller
from cortexd.config.settings import AuthorizationSettings
from cortexd.connection import BusError, BusTimeout, Connection, ConnectionLost, Message, method_call, wire
from cortexd.domain.newest import Latest
from cortexd.domain.tasks import TaskType
from cortexd.errors import AccessDenied, CortexError, Denial, InteractiveAuthorizationRequired

log = logging.getLogger("cortexd.polkit")

_NAME = "org.freedesktop.PolicyKit1"
_PATH = "/org/freedesktop/PolicyKit1/Authority"
_INTERFACE = "org.freedesktop.PolicyKit1.Authority"
_ALLOW_INTERACTION = 1
_CHECKS_IN_FLIGHT = 64
_CHECKS_PER_USER = 16  # of those, so that one user's flood leaves the others theirs
_PROMPTS_OPEN = 16
_CACHED_AT_MOST = 4096
_ABSENT = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Spawn.",
    "org.freedesktop.systemd1.",  # what systemd says of a unit that the bus cannot have started: masked, not found
)
_LEFT = "org.freedesktop.DBus.Error.NoReply"  # what the bus answers for a service that ends before it replies
_GROUP_HINT = (
    "; services and users without a seat (SSH, cron) are allowed by membership in the group 'cortex' "
    "in /etc/group (SupplementaryGroups= does not count)"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """polkit's answer. `challenge`: somebody with a password could have been asked."""

    authorized: bool
    challenge: bool
    dismissed: bool


_Heard = asyncio.Future[Verdict | None]


class Polkit:
    """The Authorizer of the system bus, under the `settings` of now. Ordinary yeses are cached briefly per connection,
    privileged ones never."""

    def __init__(self, connection: Connection, settings: Callable[[], AuthorizationSettings]) -> None:
        self._connection = connection
        self._settings = settings
        self._checks = asyncio.Semaphore(_CHECKS_IN_FLIGHT)
        self._turns = Turns(_CHECKS_PER_USER)
        self._prompts = asyncio.Semaphore(_PROMPTS_OPEN)
        self._prompt_of: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._allowed: Latest[str, float] = Latest(_CACHED_AT_MOST)
        self._shared: dict[str, list[_Heard]] = {}
        self._rules = 0  # how often they have changed

    async def watch(self) -> None:
        """Begin to hear of changed rules and actions."""
        await self._connection.add_match(f"type='signal',sender='{_NAME}',interface='{_INTERFACE}',member='Changed'")

    def on_signal(self, message: Message) -> None:
        if message.interface == _INTERFACE and message.member == "Changed":
            self._allowed.clear()
            self._shared.clear()  # what is being decided under the old rules holds for those who ask now, no longer
            self._rules += 1

    def forget(self, connection: str) -> None:
        """A connection left the bus."""
        self._allowed.pop(connection, None)

    def admit(self, caller: Caller) -> None:
        """Everybody: the bus's own policy stands before this."""

    async def authorize(self, caller: Caller, action: Action, task_types: Sequence[TaskType] = ()) -> None:
        """Return if `caller` may; raise AccessDenied or InteractiveAuthorizationRequired otherwise."""
        if action is Action.COMPLETE:
            await self._authorize_ordinary(caller)
        else:
            await self._decide(caller, action, task_types, await self._check(caller, action, task_types))
        caller.granted.add(action)

    async def may(self, caller: Caller, action: Action) -> bool:
        """Whether polkit says yes to `caller` with nobody asked; its silence is a no."""
        try:
            return (await self._check(caller, action, ())).authorized
        except CortexError:
            return False

    async def _authorize_ordinary(self, caller: Caller) -> None:
        if self._allowed.get(caller.connection, 0.0) > time.monotonic():
            return
        rules = self._rules
        await self._decide(caller, Action.COMPLETE, (), await self._shared_check(caller))
        if rules != self._rules:
            return
        self._allowed.put(caller.connection, time.monotonic() + min(self._settings().cache_s, 30.0))

    async def _shared_check(self, caller: Caller) -> Verdict:
        """One check for all calls of a connection that are made meanwhile."""
        loop = asyncio.get_running_loop()
        while (others := self._shared.get(caller.connection)) is not None:
            heard: _Heard = loop.create_future()
            others.append(heard)
            verdict = await heard
            if verdict is not None:
                return verdict
        others = self._shared[caller.connection] = []
        verdict, failure = None, None
        try:
            verdict = await self._check(caller, Action.COMPLETE, ())
        except CortexError as error:
            failure = error
            raise
        finally:
            self._tell(caller.connection, others, verdict, failure)
        return verdict

    def _tell(
        self, connection: str, others: list[_Heard], verdict: Verdict | None, failure: CortexError | None
    ) -> None:
        """With neither, the call that asked was cancelled: the first of the others asks anew."""
        if self._shared.get(connection) is others:
            del self._shared[connection]
        for heard in others:
            if heard.done():
                continue  # that call was cancelled
            if failure is None:
                heard.set_result(verdict)
            else:
                heard.set_exception(failure)
                heard.exception()  # whoever still waits raises it; where nobody does, it concerns nobody

    async def _decide(self, caller: Caller, action: Action, task_types: Sequence[TaskType], verdict: Verdict) -> None:
        """Accept a yes; ask a person where that can help and is allowed; refuse in words otherwise."""
        hint = _GROUP_HINT if action is Action.COMPLETE else ""
        if verdict.authorized:
            return
        if not verdict.challenge:
            raise _denied(action, Denial.REFUSED, f"polkit refuses {action} to user {caller.user}{hint}")
        if not caller.interactive:
            raise InteractiveAuthorizationRequired(
                f"{action} needs authentication; call again with ALLOW_INTERACTIVE_AUTHORIZATION set "
                f"(busctl does by default, gdbus with -i) and an authentication agent{hint}",
                action=action.value,
                cause=Denial.NOT_ASKED.value,
            )
        verdict = await self._prompt(caller, action, task_types)
        if not verdict.authorized:
            raise _refused_prompt(action, verdict, hint)

    async def _prompt(self, caller: Caller, action: Action, task_types: Sequence[TaskType]) -> Verdict:
        """Let polkit ask a person, one prompt per user at a time."""
        async with self._prompt_of[caller.uid], self._prompts:
            return await self._call(caller, action, task_types, interactive=True)

    async def _check(self, caller: Caller, action: Action, task_types: Sequence[TaskType]) -> Verdict:
        timeout_s = self._settings().polkit_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._turns.turn(caller.uid), self._checks:
                return await self._call(caller, action, task_types, interactive=False)
        except TimeoutError:
            raise _silent(action, timeout_s) from None

    async def _call(
        self, caller: Caller, action: Action, task_types: Sequence[TaskType], *, interactive: bool
    ) -> Verdict:
        prompt_s = self._settings().interactive_timeout_s
        cancellation = secrets.token_hex(8) if interactive else ""
        message = _message(
            "CheckAuthorization",
            "(sa{sv})sa{ss}us",
            [
                ["system-bus-name", wire.dictionary({"name": caller.connection})],
                action.value,
                {"task_type": ", ".join(task_types)} if task_types and action is Action.SYSTEM_OPERATION else {},
                _ALLOW_INTERACTION if interactive else 0,
                cancellation,
            ],
        )
        try:
            reply = await self._ask(message, prompt_s if interactive else None)  # a check has one deadline in all
        except asyncio.CancelledError:
            if interactive:
                self._withdraw(cancellation)
            raise
        except BusTimeout:
            self._withdraw(cancellation)
            raise _unanswered(action, prompt_s) from None
        except ConnectionLost:
            raise _denied(
                action, Denial.POLKIT_ABSENT, f"the bus is gone, so polkit cannot be asked about {action}"
            ) from None
        except BusError as error:
            return self._without_polkit(caller, action, error)
        [[authorized, challenge, details]] = reply.body
        return Verdict(authorized, challenge, details.get("polkit.dismissed") == "true")

    def _withdraw(self, cancellation: str) -> None:
        """Take a prompt off the screen."""
        self._connection.send(_message("CancelCheckAuthorization", "s", [cancellation]))

    async def _ask(self, message: Message, timeout_s: float | None) -> Message:
        """polkit's reply; where it ended while it was asked, as in a restart, the one that is there now is asked."""
        try:
            return await self._connection.call(message, timeout_s=timeout_s)
        except BusError as error:
            if error.name != _LEFT:
                raise
        return await self._connection.call(message, timeout_s=timeout_s)

    @staticmethod
    def _without_polkit(caller: Caller, action: Action, error: BusError) -> Verdict:
        if error.name.startswith(_ABSENT):
            if caller.uid == 0:
                return Verdict(authorized=True, challenge=False, dismissed=False)
            words = f"polkit is not running, so {action} is refused to everybody but root"
            raise _denied(action, Denial.POLKIT_ABSENT, words)
        log.error("polkit failed a check of %s: %s", action, error)
        raise _denied(action, Denial.POLKIT_FAILED, f"polkit could not decide about {action}: {error.name}")


def _denied(action: Action, cause: Denial, words: str) -> AccessDenied:
    return AccessDenied(words, action=action.value, cause=cause.value)


def _refused_prompt(action: Action, verdict: Verdict, hint: str) -> AccessDenied:
    """Why a prompt did not lead to a yes."""
    if verdict.challenge:
        words = (
            f"{action} needs authentication, and no authentication agent is running for this session"
            f"; start pkttyagent or a desktop agent{hint}"
        )
        return _denied(action, Denial.NO_AGENT, words)
    if verdict.dismissed:
        return _denied(action, Denial.DISMISSED, f"the authentication for {action} was dismissed")
    return _denied(action, Denial.NOT_AUTHENTICATED, f"the authentication for {action} failed")


def _silent(action: Action, timeout_s: float) -> AccessDenied:
    words = f"polkit did not answer within {timeout_s:g} s, so {action} is refused"
    return _denied(action, Denial.POLKIT_SILENT, words)


def _unanswered(action: Action, timeout_s: float) -> AccessDenied:
    words = f"nobody answered the authentication prompt within {timeout_s:g} s, so {action} is refused"
    return _denied(action, Denial.UNANSWERED, words)


def _message(member: str, signature: str, body: list[object]) -> Message:
    return method_call(_NAME, _PATH, _INTERFACE, member, signature, body)
