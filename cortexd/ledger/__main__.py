"""`python -m cortexd.ledger PATH`: print a ledger's latest rows and its sums."""

from __future__ import annotations

import sys
from pathlib import Path

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.reading.report import report


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m cortexd.ledger PATH", file=sys.stderr)
        return 2
    try:
        print(report(Path(arguments[0])))
    except LedgerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
