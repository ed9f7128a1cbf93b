"""A stream in a vendor's own words into a pipe: lines of JSON, and after each line of type raw so many bytes."""

from __future__ import annotations

from collections.abc import Sequence

from cortexd.bus import replies
from cortexd.bus.pipe import PipeSink, error_event, line
from cortexd.domain.messages import ToolCall
from cortexd.errors import CortexError
from cortexd.formats import Telling
from cortexd.providers import Delta
from cortexd.requests.raw import RAW, TRANSLATED, answered, lost
from cortexd.requests.results import Completion
from cortexd.routing.raw import RawBody


class RawPipeSink(PipeSink):
    """Of one request. What a provider with the body's own API says passes as it is; what another one says is put into
    its words. Nothing of either can be taken back, and a failure after it is said in the same words."""

    def __init__(self, request_id: str, raw: RawBody, write_end: int, stall_s: float) -> None:
        super().__init__(write_end, stall_s)
        self._request_id = request_id
        self._raw = raw
        self._who = {"provider": "", "model": "", "reason": ""}
        self._telling: Telling | None = None

    def asks(self, provider: str, model: str, reason: str) -> None:
        self._who = {"provider": provider, "model": model, "reason": reason}

    async def deltas(self, deltas: Sequence[Delta]) -> None:
        await self._write(self._told(b"".join(map(self._bytes_of, deltas))))

    async def done(self, completion: Completion) -> None:
        rest = b""
        if self._telling is not None or not self.spoke:
            rest = self._begun()
            rest = self._told(rest + self._telling_on().done(answered(completion)))
        known = replies.raw_metadata(completion, self._lane, self._lost(completion.dropped_options))
        metadata = {key: value for key, value in known.items() if value is not None}
        await self._last_words({"type": "done", "metadata": metadata}, rest)

    async def failed(self, error: CortexError) -> None:
        form = self._raw.form if self._telling is None else self._telling
        await self._last_words(error_event(error), self._told(form.failed(error)) if self.spoke else b"")

    def _told(self, data: bytes) -> bytes:
        """In its frame, after the head where it is the first."""
        head = b"" if self.spoke else line({"type": "head", **self._who, "lane": self._lane, "lost": self._lost()})
        self.spoke = True
        return b'%b{"type":"raw","bytes":%d}\n%b' % (head, len(data), data)

    def _bytes_of(self, delta: Delta) -> bytes:
        if isinstance(delta, bytes):
            return delta
        begun, telling = self._begun(), self._telling_on()
        return begun + (telling.tool_call(delta) if isinstance(delta, ToolCall) else telling.text(delta))

    def _begun(self) -> bytes:
        return b"" if self._telling is not None else self._telling_on().begin()

    def _telling_on(self) -> Telling:
        if self._telling is None:
            self._telling = self._raw.form.telling(self._raw.asked, self._request_id)
        return self._telling

    @property
    def _lane(self) -> str:
        return RAW if self._telling is None else TRANSLATED

    def _lost(self, dropped_options: Sequence[str] = ()) -> tuple[str, ...]:
        return () if self._telling is None else lost(self._raw, dropped_options)
