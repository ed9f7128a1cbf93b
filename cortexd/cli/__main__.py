"""cortexctl, also as `python -m cortexd.cli`."""

from __future__ import annotations

import sys

from cortexd.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
