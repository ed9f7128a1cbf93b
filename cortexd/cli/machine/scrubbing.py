"""Text for other people's eyes: without keys, request ids, and what an exception may quote of a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

HIDDEN = "(hidden)"
_SECRETS = (
    (re.compile(r"(?<=://)[^/@\s]+@"), f"{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic|x-api-key:?|api[-_]?key[=:]?)\s+\S+"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(?:sk|gsk|xai|hf|pk|rk)[-_][A-Za-z0-9_-]{8,}"), HIDDEN),
    (re.compile(r"(?<=\brequest )\S+ of uid \d+"), f"{HIDDEN} of uid {HIDDEN}"),
    (re.compile(r"(?<=\brequest )\S+(?= is answered\b| of a batch\b)|(?<=\banswering request )[\w.:-]+"), HIDDEN),
)
_LINE_OF_OURS = re.compile(r"cortexd(\.\w+)*: ")
_FRAME = re.compile(r'  File "[^"]*", line \d+, in \S+')
_EXCEPTION = re.compile(r"([\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Cancelled))\b")


def scrub(text: str, known: Collection[str]) -> str:
    """`text` without the `known` secrets and what looks like one."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def journal_lines(entries: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """journalctl's JSON entries as lines "time priority text".

    Of a traceback only where it was and of what kind; of a library's message only that there was one.
    """
    for entry in entries:
        logger = str(entry.get("CORTEXD_LOGGER", "cortexd"))
        message = _text(entry.get("MESSAGE")) if logger.startswith("cortexd") else f"{logger}: (a message)"
        for line in _told(message, whole=entry.get("_TRANSPORT") != "stdout"):
            yield f"{_moment(entry)} {entry.get('PRIORITY', '?')} {line}"


def _told(message: str, *, whole: bool) -> Iterator[str]:
    """`whole`: the entry is one record. A record on stderr makes an entry per line: its first says whose it is."""
    for number, line in enumerate(message.splitlines()):
        if (whole and number == 0) or _LINE_OF_OURS.match(line):
            yield line
        elif found := _FRAME.match(line) or _EXCEPTION.match(line):
            yield found[0]


def _text(message: object) -> str:
    """journalctl gives bytes that are no UTF-8 as a list of numbers."""
    if isinstance(message, list):
        return bytes(number for number in message if isinstance(number, int) and 0 <= number < 256).decode(
            "utf-8", "replace"
        )
    return message if isinstance(message, str) else ""


def _moment(entry: Mapping[str, object]) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(int(str(entry.get("__REALTIME_TIMESTAMP"))) / 1e6, UTC).isoformat("T", "seconds")
    except ValueError:
        return "?"
