"""Settings files of programs as people have them: by format, each with nothing of ours in it."""

from __future__ import annotations

from cortexd.cli.connecting.programs import PROGRAMS, Home, Wanted
from tests.unit.connected import ADDRESS

JSON_TEXTS = {
    "empty": "",
    "blank": "\n",
    "braces": "{}",
    "braces_and_end": "{}\n",
    "braces_apart": "{\n}\n",
    "comment_inside": "{\n  // nothing yet\n}\n",
    "one_line": '{"theme": "dark", "size": 12}',
    "one_line_spaced": '{ "theme": "dark" }\n',
    "plain": '{\n  "theme": "dark",\n  "env": {\n    "EDITOR": "vi"\n  }\n}\n',
    "no_end": '{\n  "theme": "dark"\n}',
    "four": '{\n    "theme": "dark",\n    "agent": {\n        "dock": "left"\n    }\n}\n',
    "tabs": '{\n\t"theme": "dark",\n\t"env": {},\n\t"list": [1, 2]\n}\n',
    "odd": '{\n   "theme":"dark"\n ,    "provider" : { "own":{"a":[ 1,2 ]} }\n      }\n\n',
    "commented": '// mine\n{\n  // looks\n  "theme": "dark", // no\n  /* size */ "size": 12 // pt\n  // end\n}\n',
    "trailing": '{\n  "theme": "dark",\n  "env": {\n    "A": "1", // one\n  },\n}\n',
    "trailing_comment": '{\n  "theme": "dark", /* looks */ // more\n  "url": "http://x//y", // { not this\n}\n',
    "brace_own_line": '{\n  "theme": "dark"\n  // "env": {}\n}\n',
    "strings": '{"a": "}{\\"", "b": "// no comment", "c": "/* nor this */", "ü": "\\u00fc"}\n',
}
JSON_LISTS = {
    "empty": "",
    "brackets": "[]",
    "brackets_and_end": "[]\n",
    "one": '[\n\t{\n\t\t"name": "Mine",\n\t\t"vendor": "ollama"\n\t}\n]',
    "commented": '// models\n[\n  // local\n  { "name": "Mine", "vendor": "x" }, // one\n]\n',
    "one_line": '[{"name": "A"}, {"name": "B"}]\n',
}
TOML_TEXTS = {
    "empty": "",
    "comment": "# nothing yet\n",
    "keys": 'approval_policy = "never"\n',
    "no_end": 'approval_policy = "never"',
    "tables": 'approval_policy = "no" # mine\n\n# looks\n[tui]\ntheme = "dark"\n\n[mcp_servers.x]\nargs = []\n',
    "table_first": '[tui]\ntheme = "dark"\n',
    "comment_first": '# looks\n[tui]\ntheme = "dark"',
    "lists": 'notify = [\n  "a",\n  # one\n  ["b"],\n]\ntext = """\nmodel = "no"\n[model]\n"""\n\n[tui]\nx = 1\n',
    "array_tables": '[[hooks]]\nname = "a"\n\n[[hooks]]\nname = "b"\n',
    "odd": "  [ tui ]\n  theme='dark'\n\n\n",
    "others": '[model_providers.mine]\nname = "Mine"\nbase_url = "http://x/v1" # local\n',
}
YAML_TEXTS = {
    "empty": "",
    "comment": "# nothing yet\n",
    "keys": "theme: dark\n",
    "no_end": "theme: dark",
    "start": "---\n# mine\ntheme: dark # not light\nlist:\n  - 1\n  - 2\n\n# the end\n",
    "nested": "extensions:\n    developer:\n        enabled: true\n        args: [a, b]\n\ntheme: dark\n",
    "block": "prompt: |\n  model: none\n  - no entry\n\nother: >-\n  folded\n  text\n",
    "quoted": "a: \"x: # y\"\n'b': 'it''s'\n? c\n: d\n",
    "models": "name: Mine\nmodels:\n  - name: A # first\n    model: a\n  - name: B\n    roles: [chat]\n\nrules: []\n",
    "models_flat": "name: Mine\nmodels:\n- name: A\n  model: a\ncontext:\n- provider: code\n",
    "models_last": "name: Mine\nmodels:\n  - name: A\n    model: a",
    "models_none": "name: Mine\nmodels: []\nrules:\n  - x\n",
    "models_null": "name: Mine\nmodels:\nrules:\n  - x\n",
}
YAML_LISTS = {
    "empty": "",
    "comment": "# my models\n",
    "one": "- model_id: a\n  model_name: b\n",
    "no_end": "- model_id: a\n  model_name: b",
    "indented": "# mine\n  - model_id: a # one\n    headers:\n      X: y\n\n  - model_id: b\n    aliases: [c]\n# end\n",
}
_TEXTS = {
    "chatLanguageModels.json": JSON_LISTS,
    "extra-openai-models.yaml": YAML_LISTS,
    "JSON": JSON_TEXTS,
    "TOML": TOML_TEXTS,
    "YAML": YAML_TEXTS,
}
REPLACED = {"models_none", "models_none_crlf"}  # an empty `[]` that gives way to a list
LISTS = {"chatLanguageModels.json", "extra-openai-models.yaml"}  # whose whole is one
FILES = {
    f"{name}:{wanted.path.name}": wanted
    for name, program in PROGRAMS.items()
    for wanted in program.files(Home({"HOME": "/home/alice"}), ADDRESS, "auto")
}


def texts(wanted: Wanted) -> dict[str, str]:
    """As its users may have it, also as other systems end lines."""
    found = _TEXTS.get(wanted.path.name) or _TEXTS[wanted.form.name]
    return {**found, **{f"{key}_crlf": text.replace("\n", "\r\n") for key, text in found.items() if "\n" in text}}
