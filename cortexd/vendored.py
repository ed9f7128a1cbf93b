"""The libraries that the Debian package brings along, for programs of the system's own Python.

cortexd and cortexctl have them from their start. A program that imports llm_router gets them when it first needs an
SDK; one that asks over the bus never does.
"""

from __future__ import annotations

import sys
from pathlib import Path

_LIBRARIES = Path("/usr/lib/cortexd/vendor")
_INSTALLED = Path("/usr/lib/python3/dist-packages")


def make_importable() -> None:
    """Put the package's libraries first: Debian 12's own of the same names are too old for the SDKs.

    Nothing where this cortexd is not the Debian package's.
    """
    installed = Path(__file__).parents[1] == _INSTALLED and _LIBRARIES.is_dir()
    if installed and str(_LIBRARIES) not in sys.path:
        sys.path.insert(0, str(_LIBRARIES))
