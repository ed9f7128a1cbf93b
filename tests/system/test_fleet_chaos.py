"""A fleet on one ledger while its parts are killed: script/fleet-chaos, for as long as CI has time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.namespace import CHECKOUT

pytestmark = pytest.mark.slow
_DEADLINE_S = 400


@pytest.mark.skipif(os.environ.get("CORTEXD_USERNS") == "1", reason="network namespaces need root")
def test_loses_and_doubles_nothing(namespace: Path) -> None:
    """Thousands of requests at once, and then under kill -9 of everything, a cut link and a full disk: the budget is
    never passed, and the books are what vendors billed and callers were answered."""
    command = [str(CHECKOUT / "script" / "fleet-chaos"), "--minutes", "0", "--requests", "5000", "--cut", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the books are right") == 2
