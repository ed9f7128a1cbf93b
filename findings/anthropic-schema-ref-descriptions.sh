#!/bin/bash
# Seen: `anthropic.transform_schema` throws away whatever stands beside a `$ref`. Two fields of one nested model, each
#   with a description that says which is which, arrive as two bare references; the openai package keeps both texts.
# Versions: anthropic 2.12.0, openai 3.54.0, pydantic 2.13.3, Python 3.11.
# Expected: the descriptions, which JSON Schema 2020-12 allows beside `$ref`, and which the function otherwise not only
#   keeps but extends by every keyword that it must drop.
# Matters to: users of structured output and tools. The description of such a field is the prompt, and without it the
#   model has nothing but the field's name to go by.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q anthropic==2.12.0 openai==3.54.0 pydantic==2.13.3 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: anthropic==2.12.0 openai==3.54.0 pydantic==2.13.3 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import json
import sys

import anthropic
import pydantic
from openai.lib._pydantic import to_strict_json_schema


class Address(pydantic.BaseModel):
    city: str = pydantic.Field(description="in the local language")


class Order(pydantic.BaseModel):
    one: Address = pydantic.Field(description="where the goods go")
    two: Address = pydantic.Field(description="where the bill goes")


texts = ("where the goods go", "where the bill goes")
makers = {
    "pydantic": Order.model_json_schema(),
    "anthropic": anthropic.transform_schema(Order),
    "openai": to_strict_json_schema(Order),
}
kept = {name: [text in json.dumps(schema) for text in texts] for name, schema in makers.items()}
print("field one from anthropic:", json.dumps(makers["anthropic"]["properties"]["one"]))
print("kept descriptions beside $ref:", kept)
print("kept inside the referred schema:", "in the local language" in json.dumps(makers["anthropic"]))
as_described = kept == {"pydantic": [True, True], "anthropic": [False, False], "openai": [True, True]}
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
