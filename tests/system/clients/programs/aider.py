"""aider, asked once (`aider --message`). It speaks to models in text alone: its edits are no tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.system.clients.programs.asking import HELLO, serve
from tests.system.clients.programs.commanding import PICTURE, calls, put_files

MODELS = sys.argv[2:]
put_files(sys.argv[1])
METADATA = Path.home() / "models.json"
ABLE = {"litellm_provider": "openai", "mode": "chat", "supports_vision": True}
METADATA.write_text(json.dumps({f"openai/{name}": ABLE for name in MODELS}))
ALONE = ["--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-model-warnings"]


def argv(what: str, model: str) -> list[str]:
    picture = [str(PICTURE)] if what == "image" else []
    about = ["--model", f"openai/{model}", "--model-metadata-file", str(METADATA)]
    return [sys.executable, "-m", "aider", "--no-pretty", *ALONE, *about, "--message", HELLO, *picture]


serve(calls(argv, {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "COLUMNS": "400"}))
