"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from cortexd import errors
from cortexd.cli.shown.failures import MEANINGS
from cortexd.errors import CortexError

ROOT = Path(__file__).resolve().parents[2]


class TestDocuments:
    def test_exit_statuses_of_cortexctl(self) -> None:
        """docs/cortexctl.md has the table that cortexctl uses."""
        rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs/cortexctl.md").read_text(), re.MULTILINE)
        assert {int(status): meaning for status, meaning in rows} == MEANINGS

    def test_every_error_that_the_daemon_sends(self) -> None:
        """docs/errors.md names each; ServiceUnavailable is the client's own."""
        text = (ROOT / "docs/errors.md").read_text()
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CortexError)]
        names = {kind.__name__ for kind in kinds} - {"CortexError", "ServiceUnavailable"}
        assert {name for name in names if name not in text} == set()

    def test_links_lead_somewhere(self) -> None:
        """No document points at a file that is not there."""
        for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
