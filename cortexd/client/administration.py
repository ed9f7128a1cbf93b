"""What the Manager interface answers, as frozen structures."""

from __future__ import annotations

from dataclasses import dataclass, field

from cortexd.client.results import Row


@dataclass(frozen=True, slots=True)
class Preferences:
    """This user's own wishes: a provider per task type, a strategy (empty where none is set), local endpoints only,
    what is done about secrets (empty for what the operator says), whom never to ask (providers and models), and what
    becomes of a stream that breaks and what outcomes decide (empty likewise)."""

    providers: dict[str, str] = field(default_factory=dict)
    strategy: str = ""
    local_only: bool = False
    secrets: str = ""
    excluded: tuple[str, ...] = ()
    on_break: str = ""
    learned: str = ""
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Verification:
    """How one real, smallest request to a provider went. `error` is empty where it was answered."""

    ok: bool = False
    provider: str = ""
    model: str = ""
    latency_ms: int = 0
    cost_usd: float = 0.0
    cost_nano_usd: int = 0
    error: str = ""
    raw: Row = field(default_factory=dict, repr=False)
