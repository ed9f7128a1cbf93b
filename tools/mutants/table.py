"""Which modules are mutated, and the tests that concern them.

None of these starts a bus or a server: what fails on a busy machine would count as a mutant that was noticed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Paths from the checkout's root. `tests` are files; words in `without` leave some of their tests out."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()


def _under(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


def _unit(*names: str) -> tuple[str, ...]:
    return _under("tests/unit", *(f"test_{name}" for name in names))


GROUPS = {
    "money": Group(
        (
            "cortexd/domain/money.py",
            "cortexd/catalog/lookup.py",
            "cortexd/accounts/limits.py",
            *_under("cortexd/ledger/writing", "tallies", "balance", "books"),
        ),
        (
            *_unit("money", "catalog", "budgets"),
            *_unit("ledger_budgets", "ledger_budget_model", "ledger_sums", "ledger_parts", "ledger_tallies"),
        ),
        without=("TestKill",),
    ),
    "usage": Group(
        _under("cortexd/providers", "usage", "openai/usage", "anthropic/usage", "responses/usage"),
        _unit("providers_usage", "providers_streaming", "providers_responses", "rolled_streams"),
    ),
    "streams": Group(
        _under(
            "cortexd/providers",
            *("sse", "framing", "finishing", "error_forms", "collecting"),
            *("openai/stream", "openai/fragments", "anthropic/stream", "responses/stream", "responses/calls"),
        ),
        (
            *_unit("providers_reading", "providers_framing", "providers_streaming", "providers_tool_calls"),
            *_unit("providers_usage", "providers_failing", "providers_error_forms", "providers_collecting"),
            *_unit("providers_responses", "rolled_streams"),
        ),
    ),
    "tool_calls": Group(
        _under("cortexd/providers", "tool_calls"),
        _unit("providers_tool_calls", "providers_streaming", "rolled_streams"),
    ),
}
