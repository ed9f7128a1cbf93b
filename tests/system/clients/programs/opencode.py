"""opencode, asked once (`opencode run`), with a provider of its configuration file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.system.clients.programs.asking import HELLO, serve
from tests.system.clients.programs.commanding import PICTURE, calls, put_files

PROGRAM, *MODELS = sys.argv[2:]
ABLE = {"tool_call": True, "attachment": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}
PROVIDER = {
    "npm": "@ai-sdk/openai-compatible",
    "options": {"baseURL": os.environ["OPENAI_BASE_URL"], "apiKey": "{env:OPENAI_API_KEY}"},
    "models": {name: {"name": name, **ABLE} for name in MODELS},
}
put_files(sys.argv[1])
CONFIG = Path.home() / "opencode.json"
CONFIG.write_text(json.dumps({"provider": {"cortex": PROVIDER}, "permission": {"*": "allow"}, "share": "disabled"}))
OFFLINE = {f"OPENCODE_DISABLE_{name}": "1" for name in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD")}


def argv(what: str, model: str) -> list[str]:
    """With a title, or it asks for one."""
    picture = [f"--file={PICTURE}"] if what == "image" else []
    return [PROGRAM, "run", "--title", "t", "--model", f"cortex/{model}", HELLO, *picture]


serve(calls(argv, {"OPENCODE_CONFIG": str(CONFIG), **OFFLINE}))
