"""What the client makes of Python values before they travel, and what importing it costs a program."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cortexd.client.outgoing import (
    budget_out,
    messages_out,
    options_out,
    outcome_out,
    requests_out,
    usage_query_out,
)
from cortexd.client.results import Completion, ProviderInfo, filled
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument
from cortexd.validation import parse_messages, parse_options
from tests.unit.carried import carried


class TestOptions:
    def test_each_type_arrives(self) -> None:
        """Text, truth, numbers, bytes, tables and lists arrive as what they were; None is left out."""
        options = {
            "text": "ä",
            "task": TaskType.USER_CHAT,
            "truth": True,
            "whole": -5,
            "real": 0.5,
            "bytes": bytearray(b"\x00\xff"),
            "labels": {"team": "a"},
            "tools": ({"name": "x"},),
            "names": ["a", "b"],
            "nothing": None,
        }
        arrived = carried(options_out(options))
        assert arrived == {
            "text": "ä",
            "task": "user_chat",
            "truth": True,
            "whole": -5,
            "real": 0.5,
            "bytes": b"\x00\xff",
            "labels": {"team": "a"},
            "tools": [{"name": "x"}],
            "names": ["a", "b"],
        }
        assert type(arrived["truth"]) is bool

    def test_schemas_become_text(self) -> None:
        """A JSON Schema may be a dictionary, wherever one belongs; None inside it stays null."""
        schema = {"type": "object", "properties": {"x": {"default": None}}}
        options = parse_options(
            carried(
                options_out(
                    {
                        "response_schema": schema,
                        "tools": [
                            {"name": "a", "parameters": schema},
                            {"type": "function", "function": {"name": "b", "parameters": schema}},
                        ],
                    }
                )
            )
        )
        assert [json.loads(tool.parameters) for tool in options.tools] == [schema, schema]
        assert json.loads(options.response_schema or "") == schema

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (math.nan, "options.x"),
            (math.inf, "options.x"),
            (2**63, "options.x"),
            (object(), "options.x"),
            ({1: "a"}, "options.x"),
            (["a", 1], r"options.x\[0\]"),
            ({"deep": [{"deeper": {1, 2}}]}, r"options.x.deep\[0\].deeper"),
        ],
    )
    def test_what_cannot_travel(self, value: object, path: str) -> None:
        """A value that D-Bus cannot carry is refused by its path, and never sent as something else."""
        with pytest.raises(InvalidArgument, match=f"^{path}: "):
            options_out({"x": value})

    def test_what_is_no_json(self) -> None:
        """A schema that JSON cannot hold is refused, also one that contains itself."""
        circle: dict[str, object] = {}
        circle["self"] = circle
        for schema in ({"x": {1, 2}}, {"x": math.nan}, circle):
            with pytest.raises(InvalidArgument, match=r"^options\.response_schema: cannot be written as JSON"):
                options_out({"response_schema": schema})


class TestQueries:
    def test_usage(self) -> None:
        """Days may be dates or text, a group one word or several; what is not asked is left out."""
        assert carried(usage_query_out(None, None, (), "", False)) == {}
        asked = usage_query_out(date(2026, 11, 1), datetime(2026, 11, 24, 13, 0), ["day", "label"], "team", True)
        assert carried(asked) == {
            "since": "2026-11-01",
            "until": "2026-11-24",
            "group_by": ["day", "label"],
            "label": "team",
            "all_users": True,
        }
        assert carried(asked, unwrapped=False)["group_by"].signature == "as"
        assert carried(usage_query_out("2026-11-01", None, "uid", "", False)) == {
            "since": "2026-11-01",
            "group_by": ["uid"],
        }

    def test_budget(self) -> None:
        """Amounts are exact as Decimals, which go as text; whole numbers go as what the interface calls a double."""
        sent = carried(budget_out("group", "cortex", Decimal("0.10"), 5, False), unwrapped=False)
        assert {key: (value.signature, value.value) for key, value in sent.items()} == {
            "scope": ("s", "group"),
            "name": ("s", "cortex"),
            "day_usd": ("s", "0.10"),
            "month_usd": ("d", 5.0),
        }
        assert carried(budget_out("machine", "", None, "1.5", True)) == {
            "scope": "machine",
            "month_usd": "1.5",
            "remove": True,
        }

    def test_outcome(self) -> None:
        """A score is a finite number; reason and labels travel only where given."""
        assert outcome_out("r", 1, "", None) == ["r", 1.0, options_out({})]
        *_, details = outcome_out("r", 0.5, "wrong city", {"by": "me"})
        assert carried(details) == {"reason": "wrong city", "labels": {"by": "me"}}
        with pytest.raises(InvalidArgument, match="score"):
            outcome_out("r", math.inf, "", None)

    @pytest.mark.parametrize("request_", ["user_chat", ("user_chat",), ("a", "b", "c")])
    def test_batch(self, request_: Any) -> None:
        """What is no pair of task type and messages is named by its place."""
        [[task, [message]]] = requests_out([(TaskType.USER_CHAT, "hello")])
        assert (task, carried(message)) == ("user_chat", {"role": "user", "content": "hello"})
        with pytest.raises(InvalidArgument, match=r"requests\[1\]"):
            requests_out([("user_chat", "hello"), request_])


class TestMessages:
    def test_one_text(self) -> None:
        """A text is one user message."""
        assert carried(messages_out("hello")) == [{"role": "user", "content": "hello"}]

    def test_parts_and_images(self) -> None:
        """Content parts arrive, an image as bytes."""
        parts = [
            {"type": "text", "text": "what?"},
            {"type": "image", "media_type": "image/png", "data": b"\x89PNG\r\n\x1a\n"},
        ]
        [message] = parse_messages(carried(messages_out([{"role": "user", "content": parts}])))
        assert [type(part).__name__ for part in message.parts()] == ["TextPart", "ImagePart"]

    def test_no_dictionary(self) -> None:
        """What is no message is refused by its number."""
        with pytest.raises(InvalidArgument, match=r"^messages\[1\]: expected a dictionary"):
            messages_out([{"role": "user", "content": "a"}, "b"])  # type: ignore[list-item]


class TestAnswersOfOtherVersions:
    def test_unknown_keys_are_ignored(self) -> None:
        """A newer service may say more; all of it stays in metadata."""
        done = Completion.of(
            "hello", {"provider": "claude", "novelty": 1, "attempts": [{"provider": "claude", "x": 1}]}
        )
        assert (done.provider, done.metadata["novelty"], done.attempts[0].provider) == ("claude", 1, "claude")
        assert filled(ProviderInfo, {"name": "claude", "novelty": 1}).name == "claude"

    def test_missing_keys(self) -> None:
        """An older service may say less."""
        done = Completion.of("hello", {})
        assert (done.content, done.cost_nano_usd, done.attempts) == ("hello", 0, ())


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    return {name.partition(".")[0] for name in done.stdout.split("\n")[-2].split()}


class TestImports:
    def test_client_needs_dbus_next_alone(self) -> None:
        """Importing the client brings in the standard library, dbus-next and cortexd, and nothing else."""
        bare = modules_after("pass")
        new = modules_after("import cortexd.client") - bare - sys.stdlib_module_names
        assert new == {"cortexd", "dbus_next"}

    def test_version_and_help_need_no_bus(self) -> None:
        """cortexctl --version and --help load neither D-Bus nor the event loop, let alone tables."""
        for option in ("--version", "--help"):
            loaded = modules_after(f"from cortexd.cli.app import main; main(['{option}'])")
            assert loaded.isdisjoint({"dbus_next", "asyncio", "rich"})
            assert "click" in loaded

    def test_tables_in_a_pipe_need_no_rich(self) -> None:
        """rich is loaded to draw on a terminal only."""
        statement = "from cortexd.cli.shown.tables import *; print_table([Column('a')], [['b']])"
        assert "rich" not in modules_after(statement)
