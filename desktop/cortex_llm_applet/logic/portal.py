"""Inside a sandbox notices go to the desktop's portal, which takes them in a form of its own."""

from __future__ import annotations

from collections.abc import Mapping

from cortex_llm_applet.logic.notices import Notice
from cortex_llm_applet.logic.picture import icon_name

FLATPAK = "/.flatpak-info"  # a file that is there in every Flatpak
_PRIORITIES = {2: "urgent"}  # of a notice's urgency; any other is normal


def is_sandboxed(environ: Mapping[str, str], *, flatpak: bool) -> bool:
    """`flatpak`: whether FLATPAK is there."""
    return flatpak or bool(environ.get("SNAP"))


def texts_of(notice: Notice) -> dict[str, str]:
    """Of AddNotification's argument, those values that are strings. Its id is `notice.replaces`."""
    return {
        "title": notice.summary,
        "body": notice.body,
        "priority": _PRIORITIES.get(notice.urgency, "normal"),
    }


def icon_of(notice: Notice) -> tuple[str, tuple[str, ...]]:
    """A GIcon as g_icon_serialize has it: its kind and names in the icon theme."""
    return "themed", (icon_name(notice.icon),)
