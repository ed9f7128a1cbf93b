"""Vendors' APIs: their bodies in cortexd's words, and cortexd's answers, streams and errors in theirs. No I/O.

A format's name is its API kind in the configuration (`api = "…"`).
"""

from cortexd.formats.asked import Asked, Body, check_translatable
from cortexd.formats.extras import SEARCHES, Extras, said
from cortexd.formats.failures import status
from cortexd.formats.form import Answered, Format, Telling
from cortexd.formats.named import FORMATS, format_named
from cortexd.formats.raw import Places, decoded, places_in, put, rewritten, value_of

__all__ = [
    "FORMATS",
    "SEARCHES",
    "Answered",
    "Asked",
    "Body",
    "Extras",
    "Format",
    "Places",
    "Telling",
    "check_translatable",
    "decoded",
    "format_named",
    "places_in",
    "put",
    "rewritten",
    "said",
    "status",
    "value_of",
]
