"""What every command knows from the words before its name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import click


@dataclass(frozen=True, slots=True)
class Settings:
    """`bus`: "system", "session" or an address. `timeout_s`: None for the client's own default."""

    bus: str = "system"
    timeout_s: float | None = None
    json: bool = False

    def at_least(self, seconds: float | None) -> Settings:
        """These, waiting for an answer as long as the request itself may take."""
        if seconds is None or self.timeout_s is not None:
            return self
        return replace(self, timeout_s=seconds)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
