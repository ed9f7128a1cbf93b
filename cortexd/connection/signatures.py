"""dbus-next's cache of parsed signatures, bounded. Callers choose the signatures of the variants they send,
and the library would keep each one for ever (11 KB apiece).
"""

from __future__ import annotations

from functools import lru_cache

from dbus_next.signature import SignatureTree, SignatureType

from cortexd.connection.errors import Unsendable

MAX_CACHED = 512
MAX_NESTING = 32  # of arrays, and of structs, each
_BASIC = frozenset("ybnqiuxtdsogh")


class _BoundedCache(dict[str, SignatureTree]):
    """Starts afresh when full. Trees in use live on in the messages that hold them."""

    def __setitem__(self, signature: str, tree: SignatureTree) -> None:
        if len(self) >= MAX_CACHED:
            self.clear()
        super().__setitem__(signature, tree)

    def __missing__(self, signature: str) -> SignatureTree:
        return SignatureTree(signature)  # another thread cleared the cache between dbus-next's two look-ups


def bound_signature_cache() -> None:
    """Put the bounded cache in place of dbus-next's; asking twice changes nothing."""
    if not isinstance(SignatureTree._cache, _BoundedCache):
        SignatureTree._cache = _BoundedCache(SignatureTree._cache)


@lru_cache(MAX_CACHED)
def checked_signature(signature: str) -> bytes:
    """The signature on the wire: length, text, NUL. Raises Unsendable for what dbus-daemon would refuse."""
    try:
        for type_ in SignatureTree(signature).types:
            _check(type_, "", arrays=0, structs=0)
        encoded = signature.encode("ascii")
    except (ValueError, RecursionError) as error:
        raise Unsendable(f"invalid signature: {type(error).__name__}") from None
    return bytes((len(encoded),)) + encoded + b"\0"


def _check(type_: SignatureType, parent: str, *, arrays: int, structs: int) -> None:
    kind, children = type_.token, type_.children
    arrays += kind == "a"
    structs += kind in "({"
    if max(arrays, structs) > MAX_NESTING or (kind == "(" and not children):
        raise ValueError
    if kind == "{" and (parent != "a" or children[0].token not in _BASIC):
        raise ValueError
    for child in children:
        _check(child, kind, arrays=arrays, structs=structs)
