"""What was learned, as GetLearned shows it."""

from __future__ import annotations

from typing import Any

from cortexd.accounts.learned import Overview


def overview(known: Overview) -> dict[str, Any]:
    return {
        "cells": [
            {
                "task_type": one.task,
                "provider": one.provider,
                "model": one.model,
                "outcomes": one.outcomes,
                "mean": one.mean,
            }
            for one in known.cells
        ],
        "decisions": {mode.value: number for mode, number in known.decisions.items()},
        "explored_share": {mode.value: share for mode, share in known.explored.items() if share is not None},
    }
