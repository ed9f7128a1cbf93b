"""Codex, asked once (`codex exec`), with a provider of its configuration: it reads no address from its environment."""

from __future__ import annotations

import os
import sys

from tests.system.clients.programs.asking import HELLO, serve
from tests.system.clients.programs.commanding import PICTURE, calls, put_files

PROGRAM = sys.argv[2]
ADDRESS = f'name="cortex", base_url="{os.environ["OPENAI_BASE_URL"]}", env_key="OPENAI_API_KEY"'
PROVIDER = f'{{{ADDRESS}, wire_api="responses", supports_websockets=false}}'
ONCE = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
OURS = ["-c", "model_provider=cortex", "-c", f"model_providers.cortex={PROVIDER}"]
put_files(sys.argv[1])


def argv(what: str, model: str) -> list[str]:
    picture = [f"--image={PICTURE}"] if what == "image" else []
    return [PROGRAM, *ONCE, *OURS, "--model", model, *picture, HELLO]


serve(calls(argv, {}))
