"""The texts of programs' settings: what connecting changes of them, and that disconnecting undoes just that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexd.cli.connecting.changes import Setting, Splice, put_all, says, undo
from cortexd.cli.connecting.places import same, with_value
from cortexd.cli.connecting.programs import Wanted
from tests.unit.settings_files import CASES

EVERY = pytest.mark.parametrize(
    ("wanted", "text"), [case[2:] for case in CASES], ids=[f"{case[0]}-{case[1]}" for case in CASES]
)


def settings(wanted: Wanted, text: str) -> list[Setting]:
    return list(wanted.settings(wanted.form.parse(text)))


@EVERY
class TestConnecting:
    def test_says_what_it_said_and_ours(self, wanted: Wanted, text: str) -> None:
        """The result reads as before, with our values in their places and nothing else."""
        changed, _ = put_all(wanted.form, text, settings(wanted, text))
        data: Any = wanted.form.parse(text)
        for setting in settings(wanted, text):
            data = with_value(data, setting.place, setting.value)
        assert same(wanted.form.parse(changed), data)

    def test_only_adds(self, wanted: Wanted, text: str) -> None:
        """Every character that was there is there still, in its order: comments, blanks and ends of lines."""
        changed, _ = put_all(wanted.form, text, settings(wanted, text))
        rest = iter(changed)
        if text not in ("name: Mine\nmodels: []\nrules:\n  - x\n", "name: Mine\r\nmodels: []\r\nrules:\r\n  - x\r\n"):
            assert all(character in rest for character in text)

    def test_ends_lines_as_the_file_does(self, wanted: Wanted, text: str) -> None:
        """A file of another system stays one."""
        changed, _ = put_all(wanted.form, text, settings(wanted, text))
        assert changed.replace("\r\n", "").count("\n") == (0 if "\r\n" in text else changed.count("\n"))

    def test_once_more_changes_nothing(self, wanted: Wanted, text: str) -> None:
        """A second time finds all there."""
        changed, changes = put_all(wanted.form, text, settings(wanted, text))
        assert changes
        assert says(wanted.form, changed, changes)
        assert put_all(wanted.form, changed, settings(wanted, changed)) == (changed, [])

    def test_undone_byte_for_byte(self, wanted: Wanted, text: str) -> None:
        """Disconnecting gives back the very text."""
        changed, changes = put_all(wanted.form, text, settings(wanted, text))
        undone = undo(wanted.form, changed, changes, force=False)
        assert (undone.text, undone.kept) == (text, ())

    def test_undone_by_its_places_alone(self, wanted: Wanted, text: str) -> None:
        """Where our very characters are not there any more, as after a formatter, our values still go and only they."""
        changed, changes = put_all(wanted.form, text, settings(wanted, text))
        moved = [replace(change, splice=Splice(0, "", "")) for change in changes]
        undone = undo(wanted.form, changed, moved, force=False)
        data, before = wanted.form.parse(undone.text), wanted.form.parse(text)
        assert same(data, before, empties=True)
        assert [line for line in undone.text.split() if line[:1] == "#" or line[:2] == "//"] == [
            line for line in text.split() if line[:1] == "#" or line[:2] == "//"
        ]
