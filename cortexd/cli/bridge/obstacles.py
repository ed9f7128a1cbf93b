"""What is amiss with a bridge, or in the way of its port: each a key, and its sentence with the next step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cortexd.bridge.places import SERVICE
from cortexd.errors import CortexError


class Obstacle(StrEnum):
    """The detail `cause`."""

    NO_SYSTEMD = "no_systemd"
    NO_USER_MANAGER = "no_user_manager"
    NO_UNIT = "no_unit"
    MASKED = "masked"
    STOPPED = "stopped"
    FAILED = "failed"
    GONE = "gone"
    SILENT = "silent"
    OTHER_KEY = "other_key"
    PORT_TAKEN = "port_taken"
    NO_PORT_FREE = "no_port_free"
    SETTINGS = "settings"
    CHANGED = "changed"
    OLD = "old"
    NOBODY = "nobody"
    NOT_WRITTEN = "not_written"
    PROGRAM_FAILED = "program_failed"


_BY_HAND = "Run one program with cortexctl run, or a bridge by hand: cortex-llm-bridge --port 11400"
_SENTENCES = {
    Obstacle.NO_SYSTEMD: "systemd does not run here. " + _BY_HAND,
    Obstacle.NO_USER_MANAGER: "systemd runs no services of yours here: log in anew, or ask an administrator: "
    "sudo loginctl enable-linger {user}. " + _BY_HAND,
    Obstacle.NO_UNIT: "There is no {unit}: install the package cortexd, or run: sudo cortexctl service install",
    Obstacle.MASKED: "{unit} is masked: systemctl --user unmask {unit}",
    Obstacle.STOPPED: "{unit} is stopped: systemctl --user start {unit}",
    Obstacle.FAILED: "{unit} failed ({result}). journalctl --user -u " + SERVICE + " says why. Once that is mended: "
    "systemctl --user reset-failed {unit} " + SERVICE + " && systemctl --user start {unit}",
    Obstacle.GONE: "{path} was taken away, or replaced by one that nobody serves. "
    "Put it back: systemctl --user restart {unit}",
    Obstacle.SILENT: "{where} does not answer ({reason}): journalctl --user -u " + SERVICE + " says why",
    Obstacle.OTHER_KEY: "The bridge has another key than {path}: systemctl --user restart " + SERVICE,
    Obstacle.PORT_TAKEN: "A program of {user} listens on port {port}. Take another: cortexctl bridge port on --port N",
    Obstacle.NO_PORT_FREE: "No port from {first} to {last} is free. Choose one: cortexctl bridge port on --port N",
    Obstacle.SETTINGS: "The settings of {name} cannot be read: cortexctl connect {name}",
    Obstacle.CHANGED: "Somebody has changed what connected {name}: cortexctl connect {name}",
    Obstacle.OLD: "{name} has an old port or key: cortexctl connect {name}",
    Obstacle.NOBODY: "{name} asks at port {port}, where nobody listens. "
    "Open it: cortexctl bridge port on --port {port} (without systemd: cortex-llm-bridge --port {port})",
    Obstacle.NOT_WRITTEN: "{path} cannot be written or removed: {reason}.",
    Obstacle.PROGRAM_FAILED: "{program} failed: {reason}.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    cause: Obstacle
    text: str


def problem(obstacle: Obstacle, **values: object) -> Problem:
    return Problem(obstacle, _SENTENCES[obstacle].format(**values))


def refusal(obstacle: Obstacle, **values: object) -> CortexError:
    return raised(problem(obstacle, **values))


def raised(found: Problem) -> CortexError:
    return CortexError(found.text, cause=str(found.cause))
