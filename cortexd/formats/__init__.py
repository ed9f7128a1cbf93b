"""Vendors' APIs: their bodies in cortexd's words, and cortexd's answers, streams and errors in theirs. No I/O.

A format's name is its API kind in the configuration (`api = "…"`).
"""

from cortexd.formats.asked import Asked, Body, check_translatable
from cortexd.formats.extras import SEARCHES, Extras, said
from cortexd.formats.failures import status
from cortexd.formats.form import Answered, Format, Telling
from cortexd.formats.named import FORMATS, format_named
from cortexd.formats.raw import check_keys, decoded, put, rewritten, value_of

__all__ = [
    "FORMATS",
    "SEARCHES",
    "Answered",
    "Asked",
    "Body",
    "Extras",
    "Format",
    "Telling",
    "check_keys",
    "check_translatable",
    "decoded",
    "format_named",
    "put",
    "rewritten",
    "said",
    "status",
    "value_of",
]
