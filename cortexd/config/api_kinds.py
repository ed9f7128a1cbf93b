"""The API kinds that an endpoint can speak: one row each, and one folder under cortexd/providers/ with all the rest.

A row names the module of the folder that holds its KIND (see providers/kinds.py). The names stand on this floor since
`api = "…"` is checked against them; nothing here imports the modules.
"""

from __future__ import annotations

API_KINDS: dict[str, str] = {
    "anthropic": "cortexd.providers.anthropic.kind",
    "openai": "cortexd.providers.openai.kind",
    "responses": "cortexd.providers.responses.kind",
}
