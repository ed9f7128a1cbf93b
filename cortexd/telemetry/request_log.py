"""One log line per settled request, with its figures as journal fields; never what was asked or answered."""

from __future__ import annotations

import logging

from cortexd.domain.money import format_usd
from cortexd.requests.events import CostEvent

log = logging.getLogger("cortexd.requests")


def log_settled(event: CostEvent) -> None:
    """`journalctl -u cortex-llm-router CORTEXD_UID=1000`, or by CORTEXD_REQUEST_ID, provider, model or state."""
    if not log.isEnabledFor(logging.INFO):
        return
    settled = event.settled
    who = f"{event.provider} {_in_one_line(event.model)}" if event.provider else "nobody"
    log.info(
        "request %s of uid %d (%s): %s by %s, %s, %d ms",
        event.request_id,
        event.uid,
        event.task_type.value,
        event.state,
        who,
        format_usd(settled.cost_nano),
        event.latency_ms,
        extra={
            "fields": {
                "CORTEXD_REQUEST_ID": event.request_id,
                "CORTEXD_UID": event.uid,
                "CORTEXD_TASK_TYPE": event.task_type.value,
                "CORTEXD_PROVIDER": event.provider or None,
                "CORTEXD_MODEL": event.model or None,
                "CORTEXD_STATE": event.state,
                "CORTEXD_COST_NANO_USD": settled.cost_nano,
                "CORTEXD_LATENCY_MS": event.latency_ms,
            }
        },
    )


def _in_one_line(model: str) -> str:
    """A model's name as its caller may have chosen it."""
    return model if model.isprintable() else ascii(model)
