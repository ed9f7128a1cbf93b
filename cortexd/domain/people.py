"""Who a uid is in a ledger that machines share: the same person on all of them, or of a machine's own users."""

from __future__ import annotations

_UID_BITS = 32


def person(uid: int, host: int) -> int:
    """What the ledger has for the uid of the machine of this number; of machine 0, and so of all, the uid itself."""
    return uid + (host << _UID_BITS)


def uid_of(person: int) -> int:
    return person & ((1 << _UID_BITS) - 1)


def host_of(person: int) -> int:
    """The machine's number; 0 where the uid is the same person on all of them."""
    return person >> _UID_BITS
