"""Where this software lies, and when it was made."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import cortex_llm_applet

_PACKAGE = Path(cortex_llm_applet.__file__).parent
_IN_EVERY_THEME = Path("/usr/share")
SHARE = _PACKAGE.parent.parent  # of …/share/cortex-llm-applet/cortex_llm_applet
LOCALES = SHARE / "locale"
# a directory of icons that no theme looks into by itself, or ""
ICONS = "" if SHARE == _IN_EVERY_THEME else str(SHARE / "icons")
WINDOW = SHARE.parent / "bin/cortex-llm-window"


def made_at() -> datetime:
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime).astimezone()
