"""Who belongs to the groups that the settings name: asked of the user database, off the loop, about once a minute."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from cortexd.errors import Timeout

_log = logging.getLogger(__name__)

Uids = frozenset[int]
_KEPT_S = 60.0
_DEADLINE_S = 5.0
_MAX_ASKED = 4096


@dataclass(frozen=True, slots=True)
class Membership:
    """Uids by group name; `looked_up`: everybody of whom it is known whether he is in one."""

    members: Mapping[str, Uids]
    looked_up: Uids


class Groups:
    """Membership of some groups. A directory may not count up its users: those are looked up as they ask."""

    def __init__(
        self, names: Iterable[str], clock: Callable[[], float] = time.monotonic, setting: str = "budgets.groups"
    ) -> None:
        self._setting = setting
        self._names = frozenset(names)
        self._clock = clock
        self._asked: set[int] = set()
        self._known: Membership | None = None
        self._until = 0.0
        self._lookup: asyncio.Task[Membership] | None = None
        self._missed: set[str] = set()

    async def of(self, uid: int) -> dict[str, Uids]:
        """The groups that `uid` is in, each with all its members.

        Raises Timeout where the user database has never answered; where it once has, that answer stands.
        """
        if not self._names:
            return {}
        known = self._fresh(uid) or await self._look_up(uid)
        return {name: uids for name, uids in known.members.items() if uid in uids}

    def _fresh(self, uid: int) -> Membership | None:
        known = self._known
        return known if known is not None and self._clock() < self._until and uid in known.looked_up else None

    async def _look_up(self, uid: int) -> Membership:
        """One lookup at a time, however many wait for it or have given up on it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEADLINE_S):
                if self._lookup is not None:
                    await asyncio.shield(self._lookup)
                known = self._fresh(uid)
                return await asyncio.shield(self._begin(uid)) if known is None else known
        if self._known is None:
            raise Timeout(f"the machine's user database has not answered for {_DEADLINE_S:g} s; try again later")
        _log.warning(
            "the user database has not answered for %g s: %s go by its last answer", _DEADLINE_S, self._setting
        )
        self._until = self._clock() + _KEPT_S
        return self._known

    def _begin(self, uid: int) -> asyncio.Task[Membership]:
        if self._lookup is None:
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked.add(uid)
            self._lookup = asyncio.create_task(self._read(frozenset(self._asked)))
        return self._lookup

    async def _read(self, asked: Uids) -> Membership:
        try:
            found = await asyncio.to_thread(membership, self._names, asked)
            self._warn_once(self._names - found.members.keys())
            self._known = self._with_old_sets(found)
            self._until = self._clock() + _KEPT_S
            return self._known
        finally:
            self._lookup = None

    def _warn_once(self, missing: Iterable[str]) -> None:
        for name in sorted(set(missing) - self._missed):
            _log.warning("%s.%s: this machine knows no such group; it stands for nobody", self._setting, name)
            self._missed.add(name)

    def _with_old_sets(self, found: Membership) -> Membership:
        """Equal sets stay the same objects: the ledger finds its sums by them, and compares only what differs."""
        old = self._known.members if self._known is not None else {}
        members = {name: old[name] if old.get(name) == uids else uids for name, uids in found.members.items()}
        return Membership(members, found.looked_up)


def membership(names: Iterable[str], asked: Uids) -> Membership:
    """Members by gid list and by primary group. Blocks: the user database may be on the network."""
    groups = {name: group for name in names if (group := _group(name)) is not None}
    members = {group.gr_gid: _members(group) for group in groups.values()}
    listed = set()
    for user in pwd.getpwall():
        listed.add(user.pw_uid)
        if user.pw_gid in members:
            members[user.pw_gid].add(user.pw_uid)
    for uid in asked - listed:
        for gid in _gids(uid) & members.keys():
            members[gid].add(uid)
    by_name = {name: frozenset(members[group.gr_gid]) for name, group in groups.items()}
    return Membership(by_name, frozenset(listed | asked))


def _group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def _members(group: grp.struct_group) -> set[int]:
    return {uid for name in group.gr_mem if (uid := _uid(name)) is not None}


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _gids(uid: int) -> set[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(user.pw_name, user.pw_gid))
