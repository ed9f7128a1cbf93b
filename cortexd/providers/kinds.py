"""What cortexd has to know of an API kind, and where to find it. None of it imports an SDK."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from cortexd.config.api_kinds import API_KINDS
from cortexd.domain.messages import Answer, Call
from cortexd.domain.quirks import Quirks
from cortexd.providers.collecting import Collector
from cortexd.providers.request_body import RequestBody

Shape = Mapping[str, Any] | list[Any] | None
"""What to look for in an SDK's object: a dictionary of fields, a list of one shape, or None for any JSON value."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """The vendor's library.

    `blocking`, `asynchronous`: names of its client classes. `options`: further arguments of both. `environment`:
    attributes of a client that it fills from variables, and for which no argument keeps it from doing so. `unasked`:
    modules whose functions the client calls seldom or never (late_import.py).
    """

    module: str
    blocking: str
    asynchronous: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    def made(self, value: Any) -> bool:
        """Whether `value` is one of its own objects, and no program's fake."""
        return type(value).__module__.partition(".")[0] == self.module


@dataclass(frozen=True, slots=True)
class SdkCall:
    """How a program that holds the SDK's client asks, and what it sees of the answer.

    `method` finds the method on a client, which takes `named` arguments by name and others in `extra_body`;
    `streaming` are those that ask for a stream. `answer` and `event` are the shapes of what comes back; an object that
    has the field `whole` is an answer and no stream. `completed` fills in what a program's fake may leave out of an
    answer. `unseen_end`: the data of the last event where the SDK keeps it to itself.
    """

    method: Callable[[Any], Callable[..., Any]]
    named: frozenset[str]
    streaming: Mapping[str, Any]
    answer: Shape
    event: Shape
    whole: str
    completed: Callable[[Any], Any] = lambda row: row
    unseen_end: bytes | None = None


def bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


class WriteRequest(Protocol):
    """A Call for a model with some quirks as the body of a request; `stream`: to be answered in events."""

    def __call__(self, call: Call, quirks: Quirks = frozenset(), *, stream: bool = False) -> RequestBody: ...


class ReadAnswer(Protocol):
    """A 200's body and the asked model as an Answer; `taken_ids`: of the tool calls so far in the conversation."""

    def __call__(self, body: bytes, asked_model: str, taken_ids: Collection[str] = ()) -> Answer: ...


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One API: its wire format, and the SDK whose connections adapter.SdkApi asks over.

    `path` stands below an endpoint's base_url. `collector` makes a Collector of an asked model, the most bytes of
    output and the taken ids. `elsewhere`: paths that an endpoint may answer at where it does not know `path`, and what
    to set then, with {name} for the provider's. `least_tokens`: the shortest answer that can be asked for. `models`:
    where, below `base_url`, an endpoint lists them, and `key_headers` those that carry a key there.
    """

    path: str
    request: WriteRequest
    read: ReadAnswer
    collector: Callable[..., Collector]
    sdk: Sdk
    sdk_call: SdkCall
    models: str = "/models"
    key_headers: Callable[[str], Mapping[str, str]] = bearer
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    least_tokens: int = 1


@cache
def api_kind(name: str) -> ApiKind:
    """The kind of that name. Raises KeyError where there is no such row, ImportError where its module is broken."""
    found: ApiKind = importlib.import_module(API_KINDS[name]).KIND
    return found
