"""Why a program is not connected or disconnected: each a key, its sentence, and the error that carries both."""

from __future__ import annotations

from enum import StrEnum

from cortexd.errors import AccessDenied, CortexError, InvalidArgument


class Obstacle(StrEnum):
    """The detail `cause`."""

    NOT_CONFIRMED = "not_confirmed"
    UNREADABLE = "unreadable"
    NO_FILE = "no_file"
    READ_ONLY = "read_only"
    NOT_YOURS = "not_yours"
    NOT_WRITTEN = "not_written"
    CHANGED_MEANWHILE = "changed_meanwhile"
    ODD_STYLE = "odd_style"
    IN_VAIN = "in_vain"
    NOT_CONNECTED = "not_connected"
    DAMAGED_RECORD = "damaged_record"
    NO_PORT = "no_port"
    NO_ANSWER = "no_answer"
    NOT_SERVED = "not_served"
    UNKNOWN = "unknown"


_BY_HAND = "Or write into it by hand:\n{by_hand}"
_SENTENCES = {
    Obstacle.NOT_CONFIRMED: "There is no terminal to ask at. --dry-run shows what would be done, --yes does it.",
    Obstacle.UNREADABLE: "{path} is no {form}{line}: {reason}. Nothing was changed. Mend it, and try again.",
    Obstacle.NO_FILE: "{path} cannot be read: {reason}. Nothing was changed.",
    Obstacle.READ_ONLY: "{path} is read-only, so it was left as it is. Allow it: chmod u+w {path}\n" + _BY_HAND,
    Obstacle.NOT_YOURS: "{path} belongs to another user, so it was left as it is.\n" + _BY_HAND,
    Obstacle.NOT_WRITTEN: "{path} cannot be written: {reason}. Mend that, and try again.\n" + _BY_HAND,
    Obstacle.CHANGED_MEANWHILE: "{path} was changed by somebody else just now. Nothing was written: try again.",
    Obstacle.ODD_STYLE: "{path} is written in a way that {place} cannot be changed in without changing more, so it was "
    "left as it is.\n" + _BY_HAND,
    Obstacle.IN_VAIN: "{title} keeps its settings in {path}, and {reason}. Nothing was changed.\n" + _BY_HAND,
    Obstacle.NOT_CONNECTED: "{title} is not connected: there is nothing of cortexctl's in its settings.",
    Obstacle.DAMAGED_RECORD: "{path} says what was written for {title}, and cannot be read: {reason}.",
    Obstacle.NO_PORT: "The bridge's port is off, and programs need one. Turn it on: cortexctl bridge port on",
    Obstacle.NO_ANSWER: "Nothing answers at {url}: {reason}. See: cortexctl bridge status",
    Obstacle.NOT_SERVED: "The bridge refused the request ({status}): {reason}",
    Obstacle.UNKNOWN: "The bridge does not know it. {reason} Connect the program once more, with --model NAME.",
}
_KINDS: dict[Obstacle, type[CortexError]] = {
    Obstacle.NOT_CONFIRMED: InvalidArgument,
    Obstacle.READ_ONLY: AccessDenied,
    Obstacle.NOT_YOURS: AccessDenied,
}


def refusal(obstacle: Obstacle, **values: object) -> CortexError:
    sentence = _SENTENCES[obstacle].format(**{"by_hand": "", **values})
    return _KINDS.get(obstacle, CortexError)(sentence.rstrip(), cause=str(obstacle))
