"""The service of a booted system as systemd sees it."""

from __future__ import annotations

from tests.boot.machine import Machine


def exits(machine: Machine) -> int:
    """How often it has left for want of callers."""
    return machine.journal("--unit=cortex-llm-router.service").count("the next caller starts")


def main_pid(machine: Machine) -> int:
    return int(machine.unit("MainPID"))


def is_replaced(machine: Machine, pid: int) -> bool:
    return machine.unit("ActiveState") == "active" and main_pid(machine) not in (0, pid)
