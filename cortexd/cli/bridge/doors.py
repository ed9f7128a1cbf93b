"""Whether the bridge answers at its socket and its port. Asking starts one that has left."""

from __future__ import annotations

import http.client
import socket
import stat
from pathlib import Path

from cortexd.bridge.places import LOOPBACK, SOCKET, key_path
from cortexd.cli.bridge.obstacles import Obstacle, Problem, problem
from cortexd.cli.bridge.port import Address

_ANSWER_S = 20.0  # a start from cold, on a machine with much to do
_REFUSED = 403


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def at_socket(path: Path) -> Problem | None:
    """What is amiss there, where systemd is to listen, or somebody has started a bridge by hand."""
    if not _is_socket(path):
        return problem(Obstacle.GONE, path=path, unit=SOCKET)
    try:
        _get(_OverSocket(path), "/health")
    except ConnectionRefusedError:
        return problem(Obstacle.GONE, path=path, unit=SOCKET)
    except (OSError, http.client.HTTPException) as error:
        return problem(Obstacle.SILENT, where=path, reason=_why(error))
    return None


def at_port(address: Address) -> Problem | None:
    """What is amiss there; the key is tried too."""
    connection = http.client.HTTPConnection(LOOPBACK, address.port, timeout=_ANSWER_S)
    try:
        status = _get(connection, "/v1/models", {"Authorization": f"Bearer {address.key}"})
    except (OSError, http.client.HTTPException) as error:
        return problem(Obstacle.SILENT, where=f"port {address.port}", reason=_why(error))
    return problem(Obstacle.OTHER_KEY, path=key_path()) if status == _REFUSED else None


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> int:
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
