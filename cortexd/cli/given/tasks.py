"""The task type on the command line, where only one that there is can be meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cortexd.domain.tasks import TaskType


def task_option(text: str, parameter: str = "task") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--task, with `text` as its help, as this parameter of the command."""
    kinds = click.Choice([item.value for item in TaskType])
    return click.option("--task", parameter, type=kinds, metavar="TYPE", help=text)
