"""For all tests. Inside script/private-bus the checkout is read-only: what tools keep between runs goes elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.system.namespace import NAMESPACE

if NAMESPACE is not None:
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

# a busy machine makes any example slow: time is what script/bench measures
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")
