"""cortexd's methods as a user of the booted system calls them: with busctl."""

from __future__ import annotations

import json
from typing import Any

from tests.boot.machine import Completed, Machine

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
_BUSCTL = ("busctl", "--json=short", "--timeout=60")


def call(
    machine: Machine, member: str, *arguments: str, user: str = "alice", interface: str = NAME, check: bool = True
) -> Completed:
    return machine.run(*_BUSCTL, "call", NAME, PATH, interface, member, *arguments, user=user, check=check, timeout=90)


def result(done: Completed) -> Any:
    """The one value that a method returned."""
    [value] = json.loads(done.stdout)["data"]
    return value


def ask(machine: Machine, prompt: str = "What is a cgroup?", user: str = "alice") -> str:
    answer: str = result(call(machine, "Ask", "ss", "user_chat", prompt, user=user))
    return answer


def version(machine: Machine, user: str = "alice") -> str:
    value: str = json.loads(
        machine.run(*_BUSCTL, "get-property", NAME, PATH, NAME, "Version", user=user, timeout=90).stdout
    )["data"]
    return value


def spent_usd(machine: Machine, user: str = "alice") -> float:
    """What a user's requests have cost in this session."""
    total: float = result(call(machine, "GetStats", user=user, interface=f"{NAME}.Usage"))["total_cost_usd"]["data"]
    return total


def booked(machine: Machine, user: str = "alice", since: str = "") -> Any:
    """What a user's requests have cost as the ledger has it, by provider; of the last 30 days, or since that day."""
    query = ("group_by", "as", "1", "provider", *(("since", "s", since) if since else ()))
    arguments = ("a{sv}", "2" if since else "1", *query)
    return result(call(machine, "GetUsage", *arguments, user=user, interface=f"{NAME}.Usage"))


def booked_nano(machine: Machine, user: str = "alice", since: str = "") -> int:
    """The sum of `booked`, in nano-dollars."""
    return sum(round(row["cost_usd"]["data"] * 10**9) for row in booked(machine, user, since))
