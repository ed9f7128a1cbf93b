"""Which models the operator lets a user have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from cortexd.domain.targets import Target, covered
from cortexd.domain.tasks import TaskType
from cortexd.domain.value import value
from cortexd.errors import AccessDenied, Denial


@value
class Allowed:
    """`targets`: all that the user may have, None for everything; a provider alone is all its models. `by_task`: for
    these task types nothing but that."""

    targets: tuple[Target, ...] | None = None
    by_task: Mapping[TaskType, tuple[Target, ...]] = field(default_factory=dict)

    def obstacle(self, task: TaskType, target: Target) -> str:
        """Why `target`, with its model, must not answer; empty where it may."""
        if self.targets is not None and not covered(target, self.targets):
            return "is not allowed to you (routing.allowed)"
        if task in self.by_task and not covered(target, self.by_task[task]):
            return f"is not allowed for {task} (routing.allowed.task_types)"
        return ""

    def models(self, task: TaskType, provider: str, own: str) -> tuple[str, ...]:
        """The provider's own model, and where that is not allowed those that are allowed by name."""
        if not self.obstacle(task, Target(provider, own)):
            return (own,)
        named = [*(self.targets or ()), *self.by_task.get(task, ())]
        models = dict.fromkeys(item.model for item in named if item.provider == provider and item.model)
        return (own, *(model for model in models if not self.obstacle(task, Target(provider, model))))

    def full(self, task: TaskType, target: Target, own: str) -> Target:
        """`target` with its model: where it names none its provider's own, or the first that is allowed instead."""
        return target if target.model else Target(target.provider, self.models(task, target.provider, own)[:2][-1])

    def check(self, task: TaskType, target: Target, path: str = "") -> None:
        """Raises AccessDenied, `path` first, where somebody names `target` and must not have it."""
        if not self.obstacle(task, target):
            return
        where = f"{path}: " if path else ""
        raise AccessDenied(
            f"{where}{target} is not allowed to you for {task}. Choose another (cortexctl route shows whom you may "
            f"have), or ask an administrator for it (routing.allowed in the settings).",
            cause=Denial.NOT_ALLOWED.value,
            provider=target.provider,
        )


EVERYTHING = Allowed()


def nobody_allowed(task: TaskType, providers: Collection[str]) -> AccessDenied:
    """Where none of the `providers` may answer."""
    return AccessDenied(
        f"None of {', '.join(providers)} is allowed to you for {task}. "
        f"Ask an administrator for one (routing.allowed in the settings).",
        cause=Denial.NOT_ALLOWED.value,
        left_out=",".join(providers),
    )
