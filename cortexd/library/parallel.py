"""Questions that Cortex asks by the dozen: one request each, answered at the same time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from cortexd.domain.tasks import TaskType
from cortexd.library.types import LLMResponse

_PACKAGES = "You know Linux packages. Name what a package needs before it can be installed, and what it depends on."
_ERRORS = "You find out why Linux systems fail. Say what an error message means and how to mend it."
_HARDWARE = "You configure hardware under Linux. Say what each component needs and which settings suit it."


class Batching(Protocol):
    """LLMRouter, or what stands in for it."""

    async def complete_batch(
        self, requests: Iterable[Mapping[str, Any]], max_concurrent: int | None = None
    ) -> list[LLMResponse | BaseException]: ...


async def query_multiple_packages(
    router: Batching, package_names: Iterable[str], system_prompt: str | None = None, max_concurrent: int = 10
) -> dict[str, LLMResponse | BaseException]:
    """What each package needs before it is installed: package -> its answer, as `complete_batch` gives it."""
    names = list(package_names)
    questions = [f"What does the package {name} need before it can be installed?" for name in names]
    rows = _rows(questions, system_prompt or _PACKAGES, TaskType.DEPENDENCY_RESOLUTION)
    return dict(zip(names, await router.complete_batch(rows, max_concurrent=max_concurrent), strict=True))


async def diagnose_errors_parallel(
    router: Batching, error_messages: Iterable[str], context: str | None = None, max_concurrent: int = 10
) -> list[LLMResponse | BaseException]:
    """What each error message means, in their order. `context`: the system, in words."""
    system = f"{_ERRORS}\n\nThe system: {context}" if context else _ERRORS
    questions = [f"What is wrong, and how is it mended? {message}" for message in error_messages]
    rows = _rows(questions, system, TaskType.ERROR_DEBUGGING)
    return await router.complete_batch(rows, max_concurrent=max_concurrent)


async def check_hardware_configs_parallel(
    router: Batching,
    hardware_components: Iterable[str],
    hardware_info: Mapping[str, Any] | None = None,
    max_concurrent: int = 10,
) -> dict[str, LLMResponse | BaseException]:
    """How each component is configured: component -> its answer. `hardware_info`: JSON values about the machine."""
    names = list(hardware_components)
    system = f"{_HARDWARE}\n\nThe hardware: {json.dumps(hardware_info, indent=2)}" if hardware_info else _HARDWARE
    rows = _rows([f"How is {name} configured?" for name in names], system, TaskType.CONFIGURATION)
    return dict(zip(names, await router.complete_batch(rows, max_concurrent=max_concurrent), strict=True))


def _rows(questions: Iterable[str], system: str, task_type: TaskType) -> list[dict[str, Any]]:
    told = {"role": "system", "content": system}
    return [
        {"messages": [told, {"role": "user", "content": question}], "task_type": task_type} for question in questions
    ]
