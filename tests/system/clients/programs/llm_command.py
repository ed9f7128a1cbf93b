"""Simon Willison's llm, at the command line, with models of its own file extra-openai-models.yaml."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.system.clients.programs.asking import HELLO, RESULTS, serve
from tests.system.clients.programs.commanding import PICTURE, calls, put_files

IMAGE, *MODELS = sys.argv[1:]
HOME = Path(tempfile.mkdtemp())
put_files(IMAGE)
FUNCTIONS = "\n".join(
    f'def {name}(city: str) -> str:\n    "Of a city"\n    return {result!r}' for name, result in RESULTS.items()
)
MORE = {"tools": ["--functions", FUNCTIONS], "image": ["--attachment", str(PICTURE)]}
ROWS = [{"model_id": f"our/{name}", "model_name": name, "supports_tools": True, "vision": True} for name in MODELS]
(HOME / "extra-openai-models.yaml").write_text(json.dumps(ROWS))


def argv(what: str, model: str) -> list[str]:
    return [sys.executable, "-m", "llm", "--model", f"our/{model}", *MORE.get(what, []), HELLO]


serve(calls(argv, {"LLM_USER_PATH": str(HOME)}))
