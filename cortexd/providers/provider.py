"""What the rest of cortexd sees of a vendor: a name, one attempt at a time, and an end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.domain.served import ServedModel
from cortexd.errors import MAY_QUOTE, Failure, ProviderError
from cortexd.providers.failures import scrub, without_account
from cortexd.providers.honoured import ignored_options
from cortexd.providers.listening import Listener
from cortexd.providers.loading import LoadedApi, build_api, finished, in_background, listed_models
from cortexd.providers.reader import Reader
from cortexd.providers.starting import Starting, pauses

_LIST_S = 10.0
_TELLING = 4  # what is shorter stands in many a text by chance

log = logging.getLogger("cortexd.providers")


class Provider(Protocol):
    """One endpoint. `complete` makes one attempt, raises ProviderError and nothing else, and retries nothing."""

    @property
    def name(self) -> str: ...

    @property
    def ready(self) -> bool:
        """False while the vendor's library is still to be loaded: until then no attempt has sent anything."""
        ...

    async def complete(self, call: Call, listener: Listener | None = None) -> Answer:
        """The answer to `call`. Cancelling it closes the TCP connection.

        `call.timeout_s` bounds each wait for the provider, not the time that the listener takes. What `listener.hear`
        raises comes out unchanged.
        """
        ...

    async def models(self) -> tuple[ServedModel, ...]:
        """What the endpoint says it has, within ten seconds. Raises ProviderError and nothing else, retries nothing."""
        ...

    async def aclose(self) -> None:
        """Close every connection; attempts in flight fail."""
        ...


def make_provider(
    settings: ProviderSettings, network: NetworkSettings, *, max_answer_bytes: int, alone: bool = True
) -> Provider:
    """A Provider for `settings`. Cheap: the SDK is imported, off the loop, by the first attempt or by `preload`.

    `alone`: there is no other endpoint to ask, so that one which is just starting is waited for."""
    return SdkProvider(settings, network, max_answer_bytes, alone=alone)


class SdkProvider:
    """A vendor's adapter that is loaded when first used, by all who wait for it together."""

    def __init__(
        self, settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int, *, alone: bool = True
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._network = network
        self._max_answer_bytes = max_answer_bytes
        self._loading: Future[LoadedApi] | None = None
        self._api: LoadedApi | None = None
        self._closed = False
        self._starting = Starting(local=settings.local and alone)
        self._readers: set[Reader] = set()
        key = settings.key.reveal() if settings.key else ""
        proxy_password = urlsplit(network.proxy or "").password
        hosts = (urlsplit(url or "").hostname for url in (settings.base_url, network.proxy))
        self._hosts = tuple(host for host in hosts if host)
        values = (value.reveal() for value in settings.headers.values())
        hidden = (value for value in values if len(value) >= _TELLING)
        self._secrets = tuple(secret for secret in (key, proxy_password, *hidden) if secret)

    async def complete(self, call: Call, listener: Listener | None = None) -> Answer:
        reader = Reader(listener, call.timeout_s, self._first_word_s(call))
        self._readers.add(reader)
        try:
            with self._own_failures(lambda: reader.interrupted, self._for_callers):
                return await self._attempt(call, reader)
        finally:
            self._readers.discard(reader)

    async def models(self) -> tuple[ServedModel, ...]:
        with self._own_failures(lambda: False, self._without_secrets):
            if self._closed:
                raise _closed_error()
            try:
                async with asyncio.timeout(_LIST_S):
                    return await listed_models(self._settings, self._network)
            except TimeoutError:
                raise ProviderError(Failure.TIMEOUT, f"no list of models within {_LIST_S:g} s") from None

    def _own_failures(self, interrupted: Callable[[], bool], told: Callable[[ProviderError], str]) -> _OwnFailures:
        """What fails has the text that `told` gives it, unless it is what the listener raised."""
        return _OwnFailures(lambda: self._closed, interrupted, told)

    def _without_secrets(self, error: ProviderError) -> str:
        return without_account(scrub(error.message, self._secrets), self._hosts)

    def _for_callers(self, error: ProviderError) -> str:
        """The error's text without what is the operator's; the journal has all of it but for keys, where it can quote
        nothing of the request."""
        whole = scrub(error.message, self._secrets)
        if error.failure not in MAY_QUOTE:
            log.warning("%s failed: %s: %s", self.name, error.failure, whole)
        return without_account(whole, self._hosts)

    async def _attempt(self, call: Call, reader: Reader) -> Answer:
        sent = False
        try:
            async with reader.patience:
                api = await self._loaded()
                if self._closed:
                    raise _closed_error()
                sent = True
                answer = await self._when_started(api, call, reader)
        except TimeoutError:
            if reader.interrupted:
                raise
            if self._closed:
                raise _closed_error(may_have_billed=True) from None
            raise self._timeout(call, reader, sent=sent) from None
        ignored = ignored_options(call, answer)
        return replace(answer, dropped_options=answer.dropped_options + ignored) if ignored else answer

    def _first_word_s(self, call: Call) -> float | None:
        """None where the endpoint may load the model before it says anything."""
        return None if self._starting.may_load(call.model) else call.first_token_timeout_s

    @staticmethod
    def _timeout(call: Call, reader: Reader, *, sent: bool) -> ProviderError:
        if reader.patience.speechless:
            words = f"no word within {call.first_token_timeout_s:g} s"
            return ProviderError(Failure.SILENT, words, may_have_billed=True)
        return ProviderError(Failure.TIMEOUT, f"no answer within {call.timeout_s:g} s", may_have_billed=sent)

    async def _when_started(self, api: LoadedApi, call: Call, reader: Reader) -> Answer:
        """The answer, also of a local endpoint that has to be waited for."""
        began, pause = time.monotonic(), pauses()
        while True:
            try:
                answer = await api.attempt(call, reader)
            except ProviderError as error:
                if self._closed or reader.interrupted or not self._starting.waits(error, time.monotonic() - began):
                    raise
            else:
                self._starting.answered(call.model)
                return answer
            reader.waits()
            await asyncio.sleep(next(pause))
            reader.patience.begin()

    @property
    def ready(self) -> bool:
        return self._api is not None or (self._loading is not None and _succeeded(self._loading))

    async def _loaded(self) -> LoadedApi:
        if self._api is not None:
            return self._api
        if self._loading is None or (self._loading.done() and not _succeeded(self._loading)):
            self._loading = in_background(partial(build_api, self._settings, self._network, self._max_answer_bytes))
        try:
            self._api = await finished(self._loading)
            return self._api
        except (ImportError, OSError, ValueError) as error:
            message = f"the {self._settings.api} client cannot be set up: {error}"
            raise ProviderError(Failure.CONNECTION, message) from None

    async def aclose(self) -> None:
        self._closed = True
        if self._loading is not None and _succeeded(self._loading):
            await self._loading.result().aclose()
        # aiohttp wakes who waits for a connection or for the head of an answer, but nobody in the middle of one.
        for reader in self._readers:
            if reader.begun:
                reader.patience.give_up()


class _OwnFailures:
    __slots__ = ("_closed", "_interrupted", "_told")

    def __init__(
        self, closed: Callable[[], bool], interrupted: Callable[[], bool], told: Callable[[ProviderError], str]
    ) -> None:
        self._closed = closed
        self._interrupted = interrupted
        self._told = told

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _at: object) -> None:
        if kind is asyncio.CancelledError:
            # aiohttp cancels whoever waits for a free connection when its pool closes; our own task it was not.
            task = asyncio.current_task()
            if self._closed() and task is not None and not task.cancelling() and not self._interrupted():
                raise _closed_error() from None
        elif isinstance(error, ProviderError) and not self._interrupted():
            error.message = self._told(error)
            error.__cause__ = None  # as by `raise error from None`, which would add this frame, and so a cycle


def _closed_error(*, may_have_billed: bool = False) -> ProviderError:
    return ProviderError(Failure.CONNECTION, "the provider is closed", may_have_billed=may_have_billed)


def _succeeded(loading: Future[LoadedApi]) -> bool:
    return loading.done() and loading.exception() is None
