"""A stream that broke after its first word and that another model goes on with: what that one is asked, and the seam.

No answer is put into a model's mouth: several APIs refuse a conversation that ends with the assistant's turn, so that a
short word of the user's follows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from cortexd.domain.messages import Answer, Message, OnBreak, Role
from cortexd.providers import Delta, malformed
from cortexd.routing.candidates import Candidate
from cortexd.routing.question import Question

INSTRUCTION = (
    "Your answer above was cut off by a technical fault. Go on exactly where it ends: begin with its very next "
    "character, even in the middle of a word, and repeat nothing of it. Say nothing about this."
)
_MOST_REPEATED = 2000  # characters that are looked at
_SURELY_REPEATED = 16  # that many are no chance
_PART_OF_A_WORD = 3
_BYTES_PER_TOKEN_USUALLY = 4

Hear = Callable[[Sequence[Delta]], Awaitable[None]]


@dataclass(slots=True)
class Told:
    """What a stream's reader has been told of the answer that counts; `most` bounds its UTF-8 bytes.

    `called`: a tool call was told too, after which no model can go on. `first_ms`: when the first word came.
    """

    most: int
    called: bool = False
    first_ms: int | None = None
    size: int = 0
    _pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def take(self, deltas: Sequence[Delta]) -> None:
        """Raises ProviderError where it becomes more than an answer may be."""
        texts = [delta for delta in deltas if isinstance(delta, str)]
        size = self.size + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        if size > self.most:
            raise malformed("the answer is larger than allowed")
        self.called |= len(texts) < len(deltas)
        self._pieces += texts
        self.size = size

    def forget(self) -> None:
        self._pieces, self.size, self.called, self.first_ms = [], 0, False, None


def goes_on(told: Told | None, question: Question) -> bool:
    """Whether the next model can go on: not after a told tool call, nor in JSON that must follow a schema, which it can
    only begin."""
    return told is not None and bool(told.text.strip()) and not told.called and not question.options.response_schema


def to_go_on(question: Question, told: Told, candidate: Candidate) -> tuple[Question, str]:
    """What `candidate` is asked, and what was told beyond what a model elsewhere may know of it: the beginning of a
    secret. Of its max_tokens what was said is gone."""
    text, guard, cut = told.text, question.guard, ""
    if (disguise := guard.disguise) is not None:
        hidden, cut = disguise.hide(text)
        guard = replace(guard, disguise=replace(disguise, messages=(*disguise.messages, *_turns(hidden))))
    left = candidate.max_tokens and max(1, candidate.max_tokens - told.size // _BYTES_PER_TOKEN_USUALLY)
    options = replace(question.options, max_tokens=left)
    return replace(question, messages=(*question.messages, *_turns(text)), options=options, guard=guard), cut


def _turns(text: str) -> tuple[Message, ...]:
    said = (Message(Role.ASSISTANT, text),) if text.strip() else ()
    return (*said, Message(Role.USER, INSTRUCTION))


class Seam:
    """Where a continuation begins by repeating the end of what was told, `before`, that is left out.

    Only what is the same to the letter: sixteen characters or more, the beginning of a word that was cut, or `cut`, the
    end that the model could not know. What could become one waits for the rest of it.
    """

    def __init__(self, before: str, cut: str) -> None:
        self._before = before
        self._end = before[-_MOST_REPEATED:]
        self._cut = len(cut)
        self._held: str | None = ""  # None once the seam is closed
        self._left_out = 0

    def answer(self, answer: Answer, first_ms: int | None) -> Answer:
        """The whole of it."""
        content = self._before + answer.content[self._left_out :]
        return replace(answer, content=content, time_to_first_token_ms=first_ms)

    def take(self, piece: str) -> str:
        """What is to be told once this has come; "" where it waits."""
        if self._held is None:
            return piece
        self._held += piece
        return "" if self._may_repeat_more(self._held) else self.close()

    def close(self) -> str:
        """What waited, without what it repeats."""
        if self._held is None:
            return ""
        held, self._held = self._held, None
        self._left_out = self._repeated(held)
        return held[self._left_out :]

    def _may_repeat_more(self, text: str) -> bool:
        return 0 <= self._end.find(text) < len(self._end) - len(text)

    def _repeated(self, text: str) -> int:
        """How many characters at the beginning of `text` repeat the end of what was told."""
        longest = min(len(text), len(self._end))
        return next((size for size in range(longest, 0, -1) if self._repeats(text, size)), 0)

    def _repeats(self, text: str, size: int) -> bool:
        if not self._end.endswith(text[:size]):
            return False
        return size >= _SURELY_REPEATED or size == self._cut or self._is_cut_word(size)

    def _is_cut_word(self, size: int) -> bool:
        before, part = self._before[:-size], self._before[-size:]
        return size >= _PART_OF_A_WORD and part.isalnum() and not before[-1:].isalnum()


class ToldSeam(Seam):
    """One that tells on what it lets pass."""

    def __init__(self, before: str, cut: str, hear: Hear) -> None:
        super().__init__(before, cut)
        self._hear = hear

    async def hear(self, deltas: Sequence[Delta]) -> None:
        told: list[Delta] = []
        for delta in deltas:
            told += filter(None, [self.take(delta)] if isinstance(delta, str) else [self.close(), delta])
        if told:
            await self._hear(told)

    async def rest(self) -> None:
        """No more text comes."""
        if told := self.close():
            await self._hear([told])


def wanted(question: Question, of_user: OnBreak | None, of_machine: OnBreak) -> OnBreak:
    """The call's wish, or else the user's, or else the operator's."""
    return question.options.on_break or of_user or of_machine
