"""The wishes that the router keeps for this user: read, changed one at a time, and given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gi.repository import GLib

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.wishes import Wishes

Change = Callable[[Wishes], Wishes]
_SIGNATURES: Mapping[type, str] = {str: "s", bool: "b", int: "x", float: "d", list: "as", dict: "a{ss}"}


class Keeper:
    """`wishes`, `providers` (ListProviders' rows) and `tasks` are None until they are known.

    `changed` hears of another value, `refused` of what the router did not take or tell.
    """

    def __init__(self, live: Live, changed: Callable[[], None], refused: Callable[[Failure], None]) -> None:
        self._live, self._changed, self._refused = live, changed, refused
        self.wishes: Wishes | None = None
        self.providers: tuple[Mapping[str, Any], ...] | None = None
        self.tasks: tuple[str, ...] | None = None

    @property
    def known(self) -> bool:
        return self.wishes is not None and self.providers is not None and self.tasks is not None

    def read(self, failed: Callable[[Failure], None]) -> None:
        self._live.ask("GetPreferences", (), lambda wishes: self._know("wishes", wishes), failed)
        self._live.ask("ListProviders", (), lambda rows: self._know("providers", tuple(rows)), failed)
        self._live.read("TaskTypes", lambda tasks: self._know("tasks", tuple(tasks)), failed)

    def change(self, change: Change, then: Callable[[Wishes], None] = lambda _before: None) -> None:
        """Of what is kept now, which another program may have set meanwhile. `then` gets what was kept before."""

        def told(before: Wishes) -> None:
            after = change(before)
            self._live.ask("SetPreferences", (_variants(after),), lambda: kept(before, after), self._not_kept)

        def kept(before: Wishes, after: Wishes) -> None:
            self._know("wishes", after)
            then(before)

        self._live.ask("GetPreferences", (), told, self._not_kept)

    def _know(self, name: str, value: object) -> None:
        setattr(self, name, value)
        self._changed()

    def _not_kept(self, failure: Failure) -> None:
        """What is shown is what is kept."""
        self._changed()
        self._refused(failure)


def _variants(wishes: Wishes) -> dict[str, GLib.Variant]:
    return {key: GLib.Variant(_SIGNATURES[type(value)], value) for key, value in wishes.items()}
