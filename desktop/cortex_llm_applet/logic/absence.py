"""Why the router is away, by its unit's properties as systemd has them and by what the bus could start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex_llm_applet.logic.view import Absence

_FAILING = ("activating", "deactivating")


def absence_of(unit: Mapping[str, Any] | None, *, activatable: bool) -> Absence:
    """`unit`: LoadState, ActiveState, SubState and NRestarts; None where there is no systemd. `activatable`: the bus
    knows how to start the service."""
    state = unit or {}
    if state.get("LoadState") == "masked":
        return Absence.MASKED
    if not activatable and state.get("LoadState", "not-found") == "not-found":
        return Absence.NOT_INSTALLED
    if state.get("ActiveState") == "failed":
        return Absence.FAILED
    if state.get("SubState") == "auto-restart" or (state.get("ActiveState") in _FAILING and state.get("NRestarts", 0)):
        return Absence.RESTARTING
    return Absence.RESTING
