"""What a caller is told when nobody has answered."""

from __future__ import annotations

from cortexd.errors import CortexError, Detail, NoProviderAvailable, ProviderFailed, tried_detail
from cortexd.routing import Candidate, Fallback


def broke_off(candidate: Candidate, fallback: Fallback) -> CortexError:
    """It failed in the middle of its answer, and nobody else is to be asked."""
    error = fallback.failures[-1][1]
    words = f"{candidate.provider} ({candidate.model}) failed in the middle of its answer. It {error.in_words}"
    return ProviderFailed(words, **_details(fallback))


def all_failed(fallback: Fallback) -> CortexError:
    """Everybody has failed, or could not be asked."""
    plan, details = fallback.plan, _details(fallback)
    if len(plan.candidates) == 1 and not plan.left_out:
        candidate, error = fallback.failures[-1]
        words = [f"{candidate.provider} ({candidate.model}) {error.in_words}"]
        words += [f"It was not asked once more ({item.reason})" for item in fallback.skipped]
        return ProviderFailed(". ".join(words), **details)
    not_tried = (*fallback.skipped, *plan.left_out)
    left = [f"{item.provider}: {item.reason}" for item in not_tried]
    if not_tried:
        details["left_out"] = ",".join(item.provider for item in not_tried)
    return NoProviderAvailable("No provider answered. " + "; ".join([*fallback.said(), *left]), **details)


def _details(fallback: Fallback) -> dict[str, Detail]:
    tried = tried_detail((item.provider, error.failure) for item, error in fallback.failures)
    wait = fallback.retry_after_ms
    return {"tried": tried} if wait is None else {"tried": tried, "retry_after_ms": wait}
