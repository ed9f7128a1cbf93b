#!/bin/bash
# Seen: an extra-openai-models.yaml that holds nothing but comments, or nothing at all, stops every command of llm with a
#   TypeError, also those that ask another model or none.
# Versions: llm 0.36, Python 3.11.
# Expected: an empty YAML file is valid, and says that there are no extra models, as the missing file does.
# Matters to: people who comment their last model out for a while, and tools that add a model to that file and take it out
#   again: they must remove the file, or leave `[]` in it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q llm==0.36 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: llm==0.36 cannot be installed here"; exit 77; }

models() { # STATUS-OF llm models, with the file as it is
    env -i PATH="$PATH" HOME="$work" LLM_USER_PATH="$work/user" timeout 60 "$work/venv/bin/llm" models >"$work/out" 2>&1 &&
        echo works || { echo "fails: $(tail -1 "$work/out")"; }
}
mkdir "$work/user"
file=$work/user/extra-openai-models.yaml
absent=$(models)
echo '[]' >"$file"
list=$(models)
echo '# - model_id: mine' >"$file"
comments=$(models)
: >"$file"
empty=$(models)
printf '%s\n' "no file: $absent" "an empty list: $list" "comments alone: $comments" "nothing: $empty"

if [ "$absent $list" = "works works" ] && [[ $comments == "fails: TypeError: 'NoneType'"* && $empty == "$comments" ]]; then
    echo "as described"
else
    echo "changed"
    exit 1
fi
