"""Runs the Python library's own tests:  python3 test_llm_router.py [pytest arguments]

Any python3 will do where the checkout has its virtual environment (script/bootstrap makes it).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
NEEDED = (
    "pytest",
    "anthropic",
    "openai",
    "aiohttp",
    "msgspec",
    "dbus_next",
    "sqlalchemy",
    "hypothesis",
    "pytest_asyncio",
    "pytest_timeout",
)


def main() -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return use_environment(missing)
    import pytest

    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    return int(pytest.main(["-v", "-p", "no:cacheprovider", "tests/library", *sys.argv[1:]]))


def use_environment(missing: list[str]) -> int:
    """Begin again with the checkout's interpreter. Returns only where there is none, or it lacks the same."""
    python = ENVIRONMENT / "bin" / "python"
    if python.exists() and Path(sys.prefix) != ENVIRONMENT:
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606  # no shell is wanted
    print(f"test_llm_router.py needs {', '.join(missing)}: run script/bootstrap once, then this again", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
