"""Loading of an SDK what is asked for, and all of it where it is made otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cortexd.providers.late_import import re_exported

ASK = """
import importlib, json, sys
from cortexd.providers.kinds import Sdk
from cortexd.providers.late_import import import_client
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
sdk = Sdk("odd", blocking="Odd", asynchronous="AsyncOdd", unasked=("odd._tracing",))
"""
CLIENT = """
from .types import Model
from ._tracing import trace
class AsyncOdd:
    model = Model
    def traced(self): return trace(3, by=4)
"""
FILES = {
    "__init__.py": """
        from ._client import AsyncOdd
        from . import types
        whole = 1
    """,
    "_client.py": CLIENT,
    "_tracing.py": "from .types.costly import Costly\ndef trace(one, by): return one * by\n",
    "types/__init__.py": """from .model import Model as Model
from .costly import (
    Costly as Costly,  # large
)
""",
    "types/model.py": "class Model: pass\n",
    "types/costly.py": "class Costly: pass\n",
}


def _ran(place: Path, script: str, files: dict[str, str]) -> list[str]:
    """What `script` prints in a fresh interpreter that has the SDK `odd` of these files."""
    for name, text in files.items():
        file = place / "odd" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    code = f"import sys; sys.path[:0] = [{str(place)!r}, {str(Path.cwd())!r}]\n{ASK}{textwrap.dedent(script)}"
    return _printed(code).splitlines()


def _printed(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestParts:
    def test_only_what_is_asked_for_is_loaded(self, tmp_path: Path) -> None:
        """The client's own type is there, the other is not; a program that asks for it, or for what the SDK itself
        says, gets what it would get."""
        script = """
            client = import_client(sdk)
            loaded = lambda: "odd.types.costly" in sys.modules
            print(loaded(), client.model.__module__)
            print(client().traced(), loaded())
            import odd
            print(odd.whole, odd.AsyncOdd is client, odd.types.Costly is sys.modules["odd.types.costly"].Costly)
            print(import_client(sdk) is client, {"Model", "Costly"} <= set(dir(odd.types)))
            print(hasattr(odd, "nothing"), hasattr(odd.types, "nothing"), any("late" in repr(f) for f in sys.meta_path))
        """
        assert _ran(tmp_path, script, FILES) == [
            "False odd.types.model",
            "12 True",
            "1 True True",
            "True True",
            "False False False",
        ]

    @pytest.mark.parametrize(
        ("client", "whole"),
        [
            ("raise RuntimeError('not by itself')", "class AsyncOdd: pass"),
            ("x = 1", "class AsyncOdd: pass"),
            (
                "import odd\nodd.registry.append(1)\nclass AsyncOdd: pass",
                "registry = []\nfrom ._client import AsyncOdd",
            ),
        ],
        ids=["refuses", "has no client", "asks for the whole too soon"],
    )
    def test_one_that_is_made_otherwise_is_imported_as_a_whole(self, tmp_path: Path, client: str, whole: str) -> None:
        """As Python does it, with a line in the journal."""
        script = "print(import_client(sdk) is sys.modules['odd'].AsyncOdd, '__getattr__' in vars(sys.modules['odd']))"
        said, same = _ran(tmp_path, script, FILES | {"_client.py": client, "__init__.py": f"{whole}\n"})
        assert said.startswith("odd is imported as a whole: ")
        assert same == "True False"

    def test_one_that_a_program_has_imported_is_taken_as_it_is(self, tmp_path: Path) -> None:
        """Its classes are the program's."""
        script = "import odd\nprint(import_client(sdk) is odd.AsyncOdd, '__getattr__' in vars(odd.types))"
        assert _ran(tmp_path, script, FILES) == ["True False"]

    def test_one_that_is_missing_is_an_import_error(self, tmp_path: Path) -> None:
        """Whatever was tried before."""
        script = "try:\n    import_client(sdk)\nexcept ImportError as error:\n    print(error.name)"
        assert _ran(tmp_path, script, {})[-1] == "odd"


class TestReExported:
    def test_names_lead_to_their_modules(self) -> None:
        """Below the package and beside it, renamed or not, on one line or several."""
        source = (
            "from __future__ import annotations\n\n# types\nfrom .a import A as B, C\nfrom ..b.c import (\n    D,\n)\n"
        )
        names = {"B": ("x.y.a", "A"), "C": ("x.y.a", "C"), "D": ("x.b.c", "D")}
        assert re_exported(source + "__all__ = ['B']", "x.y") == names

    @pytest.mark.parametrize(
        "line",
        [
            "x = 1",
            "import a",
            "from a import b",
            "from . import a",
            "from .a import *",
            "from .a import a",
            "if x:\n    y",
        ],
    )
    def test_anything_else_is_none(self, line: str) -> None:
        """What does more than re-exporting, and a name that is a module's too, wants the real thing."""
        assert re_exported(f"from .b import B\n{line}\n", "x") is None


class TestRealSdks:
    @pytest.mark.parametrize(("module", "client"), [("anthropic", "AsyncAnthropic"), ("openai", "AsyncOpenAI")])
    def test_have_the_same_to_offer(self, module: str, client: str) -> None:
        """A fifth of the modules at most, the same headers, and everything else as soon as it is asked for."""
        script = f"""
            import importlib, json, sys, warnings
            from cortexd.config.settings import ProviderSettings, Secret
            from cortexd.providers.kinds import api_kind
            from cortexd.providers.late_import import import_client
            from cortexd.providers.vendor_request import vendor_request
            sdk = api_kind("{module}").sdk
            count = lambda: sum(name.partition(".")[0] == sdk.module for name in sys.modules)
            late = sys.argv[1] == "late"
            if late:
                kind = import_client(sdk)
            else:
                kind = getattr(importlib.import_module(sdk.module), sdk.asynchronous)
            settings = ProviderSettings("p", "{module}", "http://127.0.0.1:1", "m", key=Secret("k"))
            sent = vendor_request(kind, settings)
            client = kind(api_key="k", base_url="http://127.0.0.1:1", max_retries=0, **sdk.options)
            before = count()
            whole = importlib.import_module(sdk.module)
            names = sorted(name for name in whole.__all__ if hasattr(whole, name))
            types = sorted(name for name in dir(importlib.import_module(sdk.module + ".types")) if name[0].isupper())
            resource = type(client.models).__name__
            print(json.dumps([before, sent.headers, names, types, resource]))
        """
        late, plain = (json.loads(_printed(textwrap.dedent(script), way)) for way in ("late", "plain"))
        assert late[0] < plain[0] / 5
        assert late[1:] == plain[1:]
        assert client in late[2]
