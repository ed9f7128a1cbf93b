"""The dictionaries of ImportLearned and ResetLearned."""

from __future__ import annotations

from enum import StrEnum

from cortexd.domain.learned import Part
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument
from cortexd.validation.checks import MAX_ID, as_mapping, as_member, as_text, known_keys, shown

_MOST_MODEL = 2 * MAX_ID


class ImportMode(StrEnum):
    MERGE = "merge"
    REPLACE = "replace"


def parse_import_options(value: object) -> bool:
    """Whether a document is merged with what is known. Raises InvalidArgument."""
    row = as_mapping(value, "options")
    known_keys(row, ("mode",), "options")
    if "mode" not in row:
        raise InvalidArgument(f"options.mode: expected one of {', '.join(ImportMode)}, got nothing")
    return as_member(ImportMode)(row["mode"], "options.mode") is ImportMode.MERGE


def parse_part(value: object) -> Part:
    """Which part of what was learned; all where it is empty. Raises InvalidArgument."""
    row = as_mapping(value, "part")
    known_keys(row, ("task_type", "model"), "part")
    task = as_member(TaskType)(row["task_type"], "part.task_type").value if "task_type" in row else ""
    return Part(task, _model(row["model"]) if "model" in row else None)


def _model(value: object) -> Target:
    provider, slash, model = as_text(value, "part.model", _MOST_MODEL).partition("/")
    if not provider or bool(slash) != bool(model):
        raise InvalidArgument(f'part.model: expected "provider" or "provider/model", got {shown(value)}')
    return Target(provider, model or None)
