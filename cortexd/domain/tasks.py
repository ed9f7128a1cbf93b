"""The task types: the caller's own label for what a request is for. Routing and authorization start from it."""

from __future__ import annotations

from enum import StrEnum

from cortexd.domain.close_words import close_words
from cortexd.errors import UnknownTaskType


class TaskType(StrEnum):
    USER_CHAT = "user_chat"
    REQUIREMENT_PARSING = "requirement_parsing"
    SYSTEM_OPERATION = "system_operation"
    ERROR_DEBUGGING = "error_debugging"
    CODE_GENERATION = "code_generation"
    DEPENDENCY_RESOLUTION = "dependency_resolution"
    CONFIGURATION = "configuration"
    TOOL_EXECUTION = "tool_execution"


# Always behind the system-operation action; configuration can add to these, never take away.
ALWAYS_PRIVILEGED = frozenset({TaskType.SYSTEM_OPERATION, TaskType.TOOL_EXECUTION})


def parse_task_type(text: str) -> TaskType:
    """Return the task type named `text`; raise UnknownTaskType with the nearest name otherwise."""
    try:
        return TaskType(text)
    except ValueError:
        names = [task.value for task in TaskType]
        near = close_words(str(text)[:64], names)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownTaskType(
            f"task_type: unknown task type {str(text)[:64]!r}; {hint}one of {', '.join(names)}"
        ) from None
