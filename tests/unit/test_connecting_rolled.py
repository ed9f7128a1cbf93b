"""Programs connected and disconnected with settings rolled by chance: nothing of them is ever lost or left."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from cortexd.cli.connecting.changes import Change, Splice, put_all, undo
from cortexd.cli.connecting.places import CannotEdit, Entry, Place, same, with_value
from cortexd.cli.connecting.programs import Wanted
from tests.unit import rolled_settings
from tests.unit.settings_files import FILES, LISTS

SEEDS = 30


def rolled(name: str, wanted: Wanted, seed: int) -> str:
    random = Random(f"{name}{seed}")
    kinds = [rolled_settings.data(random) for _ in range(random.randrange(3))]
    data = kinds if wanted.path.name in LISTS else rolled_settings.data(random)
    return rolled_settings.WRITERS[wanted.form.name](random, data)


def connected(name: str, wanted: Wanted) -> list[tuple[str, str, list[Change]]]:
    """The texts before and after, and the changes, of all that could be changed."""
    found = []
    for seed in range(SEEDS):
        text = rolled(name, wanted, seed)
        try:
            found.append((text, *put_all(wanted.form, text, wanted.settings(wanted.form.parse(text)))))
        except CannotEdit:  # refused before anything is written
            continue
    assert len(found) > SEEDS / 2
    return found


@pytest.mark.parametrize(("name", "wanted"), FILES.items(), ids=FILES.keys())
class TestRolled:
    def test_adds_ours_alone(self, name: str, wanted: Wanted) -> None:
        """The text reads as before but for our values."""
        for text, changed, _ in connected(name, wanted):
            data = wanted.form.parse(text)
            for setting in wanted.settings(data):
                data = with_value(data, setting.place, setting.value)
            assert same(wanted.form.parse(changed), data), text

    def test_undone_byte_for_byte(self, name: str, wanted: Wanted) -> None:
        """Disconnecting gives back the very text."""
        for text, changed, changes in connected(name, wanted):
            assert undo(wanted.form, changed, changes, force=False).text == text

    def test_undone_by_its_places_alone(self, name: str, wanted: Wanted) -> None:
        """Also where our very characters are not there any more."""
        for text, changed, changes in connected(name, wanted):
            moved = [replace(change, splice=Splice(0, "", "")) for change in changes]
            undone = undo(wanted.form, changed, moved, force=False)
            assert same(wanted.form.parse(undone.text), wanted.form.parse(text), empties=True), text

    def test_undone_around_what_came_later(self, name: str, wanted: Wanted) -> None:
        """What its user has added since stays."""
        place: Place = (Entry("added", "x"),) if wanted.path.name in LISTS else ("added",)
        added = {"added": "x"} if wanted.path.name in LISTS else "x"
        for text, changed, changes in connected(name, wanted):
            edited = wanted.form.put(changed, place, added)
            undone = undo(wanted.form, edited, changes, force=False)
            wished = with_value(wanted.form.parse(text), place, added)
            assert (undone.kept, same(wanted.form.parse(undone.text), wished, empties=True)) == ((), True), text
