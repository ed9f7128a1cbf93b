"""What a machine of a fleet says of the settings in common."""

from __future__ import annotations


def settings_missing(revision: int) -> str:
    """And what to do."""
    if not revision:
        return "the fleet's settings are not known yet: requests that may cost something are refused until they are"
    return (
        f"revision {revision} of the fleet's settings cannot be taken, and there is none from before: "
        "requests that may cost something are refused; sudo cortexctl fleet status says why"
    )
