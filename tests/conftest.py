"""For all tests. Inside script/private-bus the checkout is read-only: what tools keep between runs goes elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.system.namespace import NAMESPACE

if NAMESPACE is not None:
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

# a busy machine makes any example slow: time is what script/bench measures
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before those that -m leaves out are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is given a PostgreSQL is marked so."""
    for item in items:
        if "postgresql" in getattr(item, "fixturenames", ()):
            item.add_marker("postgresql")
