#!/bin/bash
# Seen: `anthropic.transform_schema` turns a map (an object with `additionalProperties: {schema}`, what pydantic makes
#   of `dict[str, int]`) into a closed object without properties: the empty object is the only value left. The
#   schema of the values vanishes, while other keywords it cannot keep are at least written into the description.
# Versions: anthropic 2.12.0, pydantic 2.13.3, jsonschema 4.26.0, Python 3.11.
# Expected: an error, as for other schemas the function cannot express, or a note in the description.
# Matters to: users of structured output with a `dict` field. The model is held to `{}`, so the reply parses, passes
#   validation, and the data is lost without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q anthropic==2.12.0 pydantic==2.13.3 jsonschema==4.26.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: anthropic==2.12.0 pydantic==2.13.3 jsonschema==4.26.0 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import json
import sys

import anthropic
import jsonschema
import pydantic


class Stock(pydantic.BaseModel):
    counts: dict[str, int]


before, after = Stock.model_json_schema(), anthropic.transform_schema(Stock)
print("pydantic: ", json.dumps(before["properties"]["counts"]))
print("anthropic:", json.dumps(after["properties"]["counts"]))


def valid(schema, counts):
    return jsonschema.Draft202012Validator(schema).is_valid({"counts": counts})


full = {"apples": 3}
print(f"{full} is valid before: {valid(before, full)}, after: {valid(after, full)}; {{}} after: {valid(after, {})}")
as_described = valid(before, full) and not valid(after, full) and valid(after, {}) and "integer" not in json.dumps(after)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
