"""Model servers of this machine: who listens at the ports that presets know, which user that is, and what it has.

Nothing is asked that does not listen already. Who may listen on a port says nothing of who that is: whoever holds
the socket reads all that is sent to it, so its user is found out of the kernel's own table (proc_net_tcp(5)).
"""

from __future__ import annotations

import http.client
import pwd
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cortexd.config.addresses import on_this_machine, parse_address
from cortexd.config.presets import Preset
from cortexd.config.settings import ANY_MODEL
from cortexd.domain.served import MOST_BYTES, ServedModel, served_models

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"
_HERE = frozenset({"0100007F", "00000000", "0" * 32, f"{'0' * 24}01000000", f"{'0' * 16}FFFF00000100007F"})
_ANSWER_S = 3.0
_ORDINARY = range(1000, 60_000)  # adduser's and useradd's; systemd's dynamic users stand above


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answers. `models`: name -> context in tokens, None where it does not say. `uid`: whose it is."""

    preset: Preset
    port: int
    uid: int
    models: Mapping[str, int | None]

    @property
    def user(self) -> str:
        return user_name(self.uid)

    @property
    def ordinary(self) -> bool:
        """Whether a person's program listens there, which may be another one than it seems."""
        return self.uid in _ORDINARY

    def toml(self) -> str:
        """The settings that declare it, with whatever models it has: cortexd asks it, too."""
        lines = [f"[providers.{self.preset.name}]", f"preset = {_quoted(self.preset.name)}"]
        lines += [] if self.port == _port(self.preset) else [f'base_url = "http://127.0.0.1:{self.port}/v1"']
        lines.append(f"model = {_quoted(ANY_MODEL)}")
        return "\n".join([*lines, ""])


def discover(presets: Collection[Preset]) -> Iterator[Found]:
    """Every server that answers at a preset's usual address on this machine."""
    listening = dict(listeners())
    for port, known in _by_port(presets).items():
        if port in listening and (said := _ask(port)):
            models = {model.id: model.context_tokens for model in said}
            yield Found(_recognised(said, presets) or known, port, listening[port], models)


def _by_port(presets: Collection[Preset]) -> dict[int, Preset]:
    """The first preset of each port of this machine."""
    ports: dict[int, Preset] = {}
    for preset in presets:
        if port := _port(preset):
            ports.setdefault(port, preset)
    return ports


def _port(preset: Preset) -> int | None:
    address = parse_address(next(iter(preset.base_url.values())))
    return address.port if on_this_machine(address.host) else None


def user_name(uid: int) -> str:
    """The number itself where the machine knows no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def listeners() -> Iterator[tuple[int, int]]:
    """Port and uid of each socket that listens where 127.0.0.1 leads."""
    for table in _TABLES:
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == _LISTENS and address in _HERE:
                yield int(port, 16), int(fields[7])


def _ask(port: int) -> tuple[ServedModel, ...]:
    """The models of the server, as it lists them; none where it is no model server."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json"})
        return served_models(connection.getresponse().read(MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return ()
    finally:
        connection.close()


def _recognised(models: Collection[ServedModel], presets: Collection[Preset]) -> Preset | None:
    """By what the server calls itself."""
    said = {model.owner for model in models}
    return next((preset for preset in presets if preset.says and preset.says in said), None)


def _quoted(text: str) -> str:
    return f'"{text}"'
