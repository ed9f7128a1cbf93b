"""Faults of our own: in the log with an id, where and of what kind; to the caller with that id alone."""

from __future__ import annotations

import logging
import secrets
import sys
import traceback

from cortexd.errors import Internal

log = logging.getLogger("cortexd.service")


def internal_error(what: str, *arguments: object) -> Internal:
    """Log the current exception under a new id and give the caller that id alone.

    Its own text may quote a prompt, so the log has where it was and of what kind.
    """
    reference, error = secrets.token_hex(6), sys.exception()
    trace = "".join(traceback.format_tb(error.__traceback__)) if error else ""
    kind = type(error).__name__
    log.error(f"internal error {reference} {what}: %s\nTraceback (most recent call last):\n%s", *arguments, kind, trace)
    return Internal(f"internal error; the service's log has it under {reference}")
