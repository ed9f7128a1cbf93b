"""The window in another height: a picture has no scroll bar to pull.

Run by the distribution's Python: window_of_height.py SHARE HEIGHT OPTION…, where SHARE holds the installed package.
"""

from __future__ import annotations

import sys
from pathlib import Path

share, height, *options = sys.argv[1:]
sys.path.insert(0, str(Path(share) / "cortex-llm-applet"))

from cortex_llm_applet.installed import LOCALES  # noqa: E402 - the path comes first
from cortex_llm_applet.texts import speak  # noqa: E402

speak(LOCALES)  # before the texts that classes have

from cortex_llm_applet.window import main_window  # noqa: E402
from cortex_llm_applet.window.__main__ import main  # noqa: E402

main_window._HEIGHT = int(height)
sys.exit(main(options))
