"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def replace(file: Path, data: bytes, mode: int, beside: Path) -> None:
    """Put `data` in the place of `file`; `beside`: where it stands until it is whole. Raises OSError."""
    import tempfile  # half a megabyte that few need

    handle, unfinished = tempfile.mkstemp(dir=beside, prefix=".cortexctl-")
    try:
        with open(handle, "wb") as stream:
            os.fchmod(handle, mode)
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        os.replace(unfinished, file)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
