"""Why the service is not installed or removed: each a key, its sentence, and the error that carries both."""

from __future__ import annotations

from enum import StrEnum

from cortexd.errors import AccessDenied, CortexError, InvalidArgument


class Obstacle(StrEnum):
    """The detail `cause`."""

    NOT_ROOT = "not_root"
    NOT_CONFIRMED = "not_confirmed"
    PACKAGE = "package"
    NO_SYSTEMD = "no_systemd"
    OLD_SYSTEMD = "old_systemd"
    NO_PROGRAM = "no_program"
    HIDDEN = "hidden"
    CLOSED = "closed"
    WRITABLE = "writable"
    ODD_PATH = "odd_path"
    IN_THE_WAY = "in_the_way"
    OUTSIDE = "outside"
    NOT_WRITTEN = "not_written"
    NOT_INSTALLED = "not_installed"
    DAMAGED_RECORD = "damaged_record"
    PROGRAM_FAILED = "program_failed"


_ELSEWHERE = (
    "Install cortexd where the system's services can read it: sudo python3 -m venv /opt/cortexd && "
    "sudo /opt/cortexd/bin/pip install cortexd"
)
_AGAIN = "Once that is mended, try again: it goes on from here."
_SENTENCES = {
    Obstacle.NOT_ROOT: "The service is the machine's: try again with sudo.",
    Obstacle.NOT_CONFIRMED: "There is no terminal to ask at. --dry-run shows what would be done, --yes does it.",
    Obstacle.PACKAGE: "The distribution's package of cortexd is installed, and brings the service along: {path}",
    Obstacle.NO_SYSTEMD: "systemd does not run here. --root DIR writes the files for a machine where it does.",
    Obstacle.OLD_SYSTEMD: "The unit needs systemd {needed} or newer; this is {version}.",
    Obstacle.NO_PROGRAM: "There is no program cortexd at {path}. " + _ELSEWHERE,
    Obstacle.HIDDEN: "Services see nothing of {directory}, where {path} is. " + _ELSEWHERE,
    Obstacle.CLOSED: "The user cortexd could not read {path}. "
    "Let all users read it: sudo chmod --recursive a+rX {whole}",
    Obstacle.WRITABLE: "Others than root may write {path}, and so read the keys of all providers. "
    "Give it to root: sudo chown --recursive root: {whole} && sudo chmod --recursive go-w {whole}",
    Obstacle.ODD_PATH: "The unit needs a whole path without blanks, quotes and the like, and this is {path}. "
    + _ELSEWHERE,
    Obstacle.IN_THE_WAY: "These files are there and are not of this installation, so nothing was changed: {paths}. "
    "Move them away, or whoever put them there.",
    Obstacle.OUTSIDE: "{path} leads out of {root}.",
    Obstacle.NOT_WRITTEN: "{path} cannot be written or removed: {reason}. " + _AGAIN,
    Obstacle.NOT_INSTALLED: "`cortexctl service install` has installed nothing here.",
    Obstacle.DAMAGED_RECORD: "{path} says what was installed, and cannot be read: {reason}",
    Obstacle.PROGRAM_FAILED: "{program} failed: {reason}. " + _AGAIN,
}
_KINDS: dict[Obstacle, type[CortexError]] = {
    Obstacle.NOT_ROOT: AccessDenied,
    Obstacle.NOT_CONFIRMED: InvalidArgument,
}


def refusal(obstacle: Obstacle, **values: object) -> CortexError:
    return _KINDS.get(obstacle, CortexError)(_SENTENCES[obstacle].format(**values), cause=str(obstacle))
