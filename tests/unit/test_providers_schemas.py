"""A caller's schema in Claude's subset: what an answer to it satisfies, and what is said of the rest."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cortexd.providers.anthropic.schema import adapted
from simulated.anthropic_rules import REQUEST

A = {"type": "string"}


def an_object(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": A}, **more}


def within(schema: Any) -> dict[str, Any]:
    """The schema as that of a property."""
    return {"type": "object", "properties": {"p": schema}, "required": ["p"]}


CLOSED = an_object(additionalProperties=False)
NO_FORM = [
    {"type": "object"},
    {"type": "object", "properties": {}},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    an_object(additionalProperties={"type": "integer"}),
    an_object(patternProperties={"^x": A}),
    an_object(required=["b"]),
    an_object(anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
    an_object(allOf=[an_object()]),
    {},
    True,
    {"description": "anything"},
    {"type": "array"},
    {"type": "array", "items": [A, A]},
    {"type": "array", "prefixItems": [A]},
    {"type": "nothing"},
    {"type": []},
    {"enum": []},
    {"enum": [{"a": 1}]},
    {"const": [1]},
    {"type": "string", "enum": [1, 2]},
    {"allOf": [an_object(), an_object(additionalProperties=False)]},
    {"anyOf": []},
    {"$ref": "#/$defs/Missing"},
    {"$ref": "#"},
    {"$ref": "https://example.org/schema"},
    {"$ref": "#/properties/p"},
    {"$dynamicRef": "#x"},
    {"type": "object", "properties": {"a": {"$id": "x", "type": "string"}}},
]
FORMS: list[tuple[Any, Any, tuple[str, ...]]] = [
    (an_object(), CLOSED, ()),
    (an_object(additionalProperties=True), CLOSED, ("additionalProperties",)),
    (an_object(required=["a"]), {**CLOSED, "required": ["a"]}, ()),
    ({"properties": {"a": A}}, CLOSED, ()),
    ({"type": ["string", "null"]}, {"anyOf": [A, {"type": "null"}]}, ()),
    (
        {"type": ["string", "null"], "format": "date", "description": "d"},
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "description": "d"},
        (),
    ),
    ({"type": ["object", "null"], "properties": {"a": A}}, {"anyOf": [CLOSED, {"type": "null"}]}, ()),
    ({"anyOf": [A, {"type": "null"}]}, {"anyOf": [A, {"type": "null"}]}, ()),
    ({"oneOf": [A, {"type": "null"}]}, {"anyOf": [A, {"type": "null"}]}, ("oneOf",)),
    ({"allOf": [A], "description": "d"}, {**A, "description": "d"}, ()),
    ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}, ()),
    ({"type": ["string", "null"], "enum": ["a", None]}, {"enum": ["a", None]}, ()),
    ({"type": "string", "enum": ["a", 1]}, {"enum": ["a"]}, ()),
    ({"const": 1, "title": "t"}, {"const": 1, "title": "t"}, ()),
    ({"type": "array", "items": A, "minItems": 1}, {"type": "array", "items": A, "minItems": 1}, ()),
    (
        {"type": "array", "items": A, "minItems": 2},
        {"type": "array", "items": A, "description": "{minItems: 2}"},
        ("minItems",),
    ),
    (
        {"type": "integer", "minimum": 1, "description": "d"},
        {"type": "integer", "description": "d\n\n{minimum: 1}"},
        ("minimum",),
    ),
    ({"type": "string", "format": "color"}, {"type": "string", "description": '{format: "color"}'}, ("format",)),
    ({"type": "string", "default": "x", "examples": ["y"], "$comment": "c"}, A, ()),
]


class TestForms:
    @pytest.mark.parametrize("schema", NO_FORM, ids=str)
    def test_what_the_subset_cannot_say(self, schema: Any) -> None:
        """There is no form, for it and for whatever holds it."""
        assert adapted(schema) is None
        assert adapted(within(schema)) is None

    @pytest.mark.parametrize(("schema", "form", "lost"), FORMS, ids=lambda value: str(value)[:60])
    def test_what_it_can(self, schema: Any, form: Any, lost: tuple[str, ...]) -> None:
        """Its form, and the keywords that nobody enforces."""
        found = adapted(within(schema))
        assert found is not None
        assert found.schema["properties"]["p"] == form
        assert found.lost == lost

    @pytest.mark.parametrize("place", ["$defs", "definitions"])
    @pytest.mark.parametrize("name", ["P", "P/Q~R"])
    def test_definitions(self, place: str, name: str) -> None:
        """Old and new drafts' definitions are found, those that nobody uses left out."""
        pointer = name.replace("~", "~0").replace("/", "~1")
        schema = {**within({"$ref": f"#/{place}/{pointer}"}), place: {name: an_object(), "unused": {}}}
        found = adapted(schema)
        assert found is not None
        assert found.schema["properties"]["p"] == {"$ref": f"#/$defs/{pointer}"}
        assert list(found.schema["$defs"].values()) == [CLOSED]

    def test_recursion_has_no_form(self) -> None:
        """Not at once, and not by way of another."""
        tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/B"}}}
        other = {"type": "array", "items": {"$ref": "#/$defs/A"}}
        assert adapted({**within({"$ref": "#/$defs/A"}), "$defs": {"A": tree, "B": other}}) is None

    def test_a_root_that_refers(self) -> None:
        """The type that the validation puts beside a reference, or beside alternatives, is one that they have."""
        root = {"type": "object", "$ref": "#/$defs/A", "$defs": {"A": an_object()}}
        found = adapted(root)
        assert found is not None
        assert found.schema == {"$defs": {"A": CLOSED}, "$ref": "#/$defs/A"}
        assert adapted({"type": "object", "anyOf": [an_object(), {"$ref": "#/$defs/A"}], "$defs": {"A": A}}) is None

    def test_the_given_one_is_untouched(self) -> None:
        """Another attempt may need it."""
        schema = within({"type": ["string", "null"], "minLength": 1})
        before = json.dumps(schema)
        adapted(schema)
        assert json.dumps(schema) == before


VALUES: list[Any] = [None, True, 0, 7, 1.5, "", "b", "2026-01-01", [], ["x"], [1], {}, {"a": "x"}, {"a": 1}, {"b": 1}]


def holds(schema: Any, value: Any, root: Any) -> bool:
    """A small JSON Schema validator for the keywords that the lottery draws."""
    if "$ref" in schema:
        return holds(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    of_type = {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    checks = [not kinds or any(of_type[kind] for kind in kinds)]
    checks += ["enum" not in schema or any(type(item) is type(value) and item == value for item in schema["enum"])]
    checks += ["anyOf" not in schema or any(holds(item, value, root) for item in schema["anyOf"])]
    if isinstance(value, dict):
        known, further = schema.get("properties", {}), schema.get("additionalProperties", True)
        checks += [name in value for name in schema.get("required", [])]
        checks += [holds(known[name], item, root) for name, item in value.items() if name in known]
        checks += [
            further if isinstance(further, bool) else holds(further, item, root)
            for name, item in value.items()
            if name not in known
        ]
    if isinstance(value, list) and "items" in schema:
        checks += [holds(schema["items"], item, root) for item in value]
    return all(checks)


def by_lot(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = rng.choice(
        ["string", "integer", "null", "object", "array", "enum", "anyOf", "list", "$ref"][: 9 - 5 * (depth > 2)]
    )
    if kind == "object":
        names = rng.sample(["a", "b"], rng.randint(0, 2))
        further = rng.choice([{}, {}, {"additionalProperties": rng.choice([True, False, {"type": "integer"}])}])
        required = {"required": rng.sample(names, rng.randint(0, len(names)))}
        return {"type": kind, "properties": {name: by_lot(rng, depth + 1) for name in names}, **required, **further}
    if kind == "array":
        return {"type": kind, "items": by_lot(rng, depth + 1)}
    if kind == "anyOf":
        return {kind: [by_lot(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    if kind == "list":
        return {"type": rng.sample(["string", "null", "integer", "boolean"], rng.randint(1, 3))}
    if kind == "$ref":
        return {kind: f"#/$defs/{rng.choice('AB')}"}
    if kind == "enum":
        return {kind: rng.sample(["b", 7, None, True], rng.randint(1, 4)), **rng.choice([{}, {"type": "string"}])}
    return {"type": kind}


class TestByLot:
    @pytest.mark.parametrize("seed", range(300))
    def test_no_meaning_changes(self, seed: int) -> None:
        """What holds in the form holds in the caller's schema; but for objects that are closed, and enforced by
        nothing else, it is the other way round too. Claude's own rules take every form."""
        rng = random.Random(seed)
        schema = {"type": "object", "properties": {"p": by_lot(rng)}, "required": ["p"],
                  "$defs": {"A": by_lot(rng, 1), "B": by_lot(rng, 1)}}  # fmt: skip
        found = adapted(schema)
        if found is None:
            return
        for value in ({"p": item} for item in VALUES):
            if holds(found.schema, value, found.schema):
                assert holds(schema, value, schema), value
            elif holds(schema, value, schema):
                assert isinstance(value["p"], dict), value
                assert value["p"], "an object with a name that the closed one does not know"
        output = {"format": {"type": "json_schema", "schema": found.schema}}
        turn = {"role": "user", "content": "x"}
        REQUEST({"model": "m", "max_tokens": 1, "messages": [turn], "output_config": output}, ())
