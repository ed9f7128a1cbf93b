"""What the extension of GNOME Shell has from the applet, as a JavaScript module made from the applet's own
tables: names of the bus API, the order and words of bad states, the menu's entries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from cortex_llm_applet import wire_facts
from cortex_llm_applet.logic import menu, words
from cortex_llm_applet.logic.picture import IN_WORDS
from cortex_llm_applet.logic.trouble import TROUBLES, UNIT

FACTS = Path(__file__).resolve().parents[1] / "desktop/shells/logic/facts.mjs"
_HEAD = "// Names, words and entries that the applet has too, made by script/applet-facts from its tables.\n\n"
_NAMES = ("BUS_NAME", "OBJECT_PATH", "INTERFACE", "ASK_ACTION")
_METHODS = (
    "Subscribe",
    "Unsubscribe",
    "GetBudget",
    "GetStats",
    "ListRequests",
    "Cancel",
    "ListProviders",
    "GetUsage",
    "ListHolds",
)
_TROUBLE = ("name", "state", "meaning", "step", "command", "words")
_ENTRIES = (
    *("TROUBLE", "STEP", "TODAY", "MONTH", "LEFT", "BUDGETS", "COSTS_HEAD", "COSTS", "RUNNING_HEAD", "RUNNING", "MORE"),
)


def facts() -> str:
    """The module's text."""
    return _HEAD + "".join(f"export const {name} = {_written(value)};\n" for name, value in _values().items())


def _values() -> Mapping[str, object]:
    return {
        **{name: getattr(wire_facts, name) for name in _NAMES},
        "METHODS": {name: wire_facts.METHODS[name] for name in _METHODS},
        "UNIT": UNIT,
        "IN_WORDS": IN_WORDS,
        "TROUBLES": [{key: getattr(item, key) for key in _TROUBLE} for item in TROUBLES],
        "ENTRIES": {name: getattr(menu, name) for name in _ENTRIES},
        "LEFT": {" ".join(key): text for key, text in words.LEFT.items()},
        "LEFT_OF_ANY": words.LEFT_OF_ANY,
        "LEFT_IN_WORDS": words.LEFT_IN_WORDS,
    }


def _written(value: object) -> str:
    """One row a line, so that a change of one is a change of one line."""
    if isinstance(value, Mapping):
        rows = [f"    {json.dumps(key)}: {_row(item)},\n" for key, item in value.items()]
        return "{\n" + "".join(rows) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_row(item)},\n" for item in value) + "]"
    return _row(value)


def _row(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> int:
    made = facts()
    if "--check" in sys.argv[1:]:
        return int(FACTS.read_text("utf-8") != made)
    FACTS.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
