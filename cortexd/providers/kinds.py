"""What cortexd has to know of an API kind, and where to find it. None of it imports an SDK."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    attributes of a client that it fills from variables, and for which no argument keeps it from doing so.
    """

    module: str
    blocking: str
    asynchronous: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: tuple[str, ...] = ()

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


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One API: its wire format, its SDK, and `adapter`, the module and class of the daemon's side (loading.LoadedApi).

    `request` writes a Call for a model with some quirks; `read` makes a 200's body and the asked model an Answer;
    `collector` does so with a stream's events, for an asked model and the most bytes of output. `models`: where, below
    `base_url`, an endpoint lists them, and `key_headers` those that carry a key there.
    """

    adapter: tuple[str, str]
    request: Callable[[Call, Quirks], RequestBody]
    read: Callable[[bytes, str], Answer]
    collector: Callable[[str, int], Collector]
    sdk: Sdk
    sdk_call: SdkCall
    models: str = "/models"
    key_headers: Callable[[str], Mapping[str, str]] = bearer


def api_kind(name: str) -> ApiKind:
    """The kind of that name. Raises KeyError where there is no such row, ImportError where its module is broken."""
    found: ApiKind = importlib.import_module(API_KINDS[name]).KIND
    return found
