"""Notices in the form of the desktop's portal, without a bus."""

from __future__ import annotations

import pytest
from cortex_llm_applet.logic.notices import Thresholds
from cortex_llm_applet.logic.portal import icon_of, is_sandboxed, texts_of

DAY = "2026-11-29"


class TestChoice:
    @pytest.mark.parametrize(
        ("environ", "flatpak", "sandboxed"),
        [
            ({}, False, False),
            ({"SNAP": ""}, False, False),
            ({"SNAP": "/snap/cortex-llm-applet/1"}, False, True),
            ({}, True, True),
        ],
    )
    def test_only_in_a_sandbox(self, environ: dict[str, str], flatpak: bool, sandboxed: bool) -> None:
        """Flatpak leaves a file, snapd a variable."""
        assert is_sandboxed(environ, flatpak=flatpak) is sandboxed


class TestForm:
    def test_threshold(self) -> None:
        """A full budget is urgent, any other threshold is not; one id lets the later replace the earlier."""
        thresholds = Thresholds()
        half = thresholds.crossed("day", 0.5, 1.0, 2.0, DAY)
        full = thresholds.crossed("day", 1.0, 2.0, 2.0, DAY)
        assert half is not None
        assert full is not None
        assert (texts_of(half)["priority"], texts_of(full)["priority"]) == ("normal", "urgent")
        assert half.replaces == full.replaces
        assert texts_of(half)["title"] == half.summary
        assert icon_of(full) == ("themed", ("cortex-llm-over",))
