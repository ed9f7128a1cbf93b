"""The texts of programs' settings: what connecting changes of them, and that disconnecting undoes just that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexd.cli.connecting.changes import Setting, Splice, put_all, says, undo
from cortexd.cli.connecting.places import same, with_value
from cortexd.cli.connecting.programs import Wanted
from tests.unit.settings_files import FILES, REPLACED, texts


def settings(wanted: Wanted, text: str) -> list[Setting]:
    return list(wanted.settings(wanted.form.parse(text)))


def comments(text: str) -> list[str]:
    return [word for word in text.split() if word[:1] == "#" or word[:2] == "//"]


@pytest.mark.parametrize("wanted", FILES.values(), ids=FILES.keys())
class TestConnecting:
    def test_says_what_it_said_and_ours(self, wanted: Wanted) -> None:
        """The result reads as before, with our values in their places and nothing else."""
        for key, text in texts(wanted).items():
            changed, _ = put_all(wanted.form, text, settings(wanted, text))
            data: Any = wanted.form.parse(text)
            for setting in settings(wanted, text):
                data = with_value(data, setting.place, setting.value)
            assert same(wanted.form.parse(changed), data), key

    def test_only_adds(self, wanted: Wanted) -> None:
        """Every character that was there is there still, in its order: comments, blanks and ends of lines."""
        for key, text in texts(wanted).items():
            changed, _ = put_all(wanted.form, text, settings(wanted, text))
            rest = iter(changed)
            assert all(character in rest for character in text) or key in REPLACED, key

    def test_ends_lines_as_the_file_does(self, wanted: Wanted) -> None:
        """A file of another system stays one."""
        for key, text in texts(wanted).items():
            changed, _ = put_all(wanted.form, text, settings(wanted, text))
            bare = changed.replace("\r\n", "").count("\n")
            assert bare == (0 if "\r\n" in text else changed.count("\n")), key

    def test_once_more_changes_nothing(self, wanted: Wanted) -> None:
        """A second time finds all there."""
        for key, text in texts(wanted).items():
            changed, changes = put_all(wanted.form, text, settings(wanted, text))
            assert changes, key
            assert says(wanted.form, changed, changes), key
            assert put_all(wanted.form, changed, settings(wanted, changed)) == (changed, []), key

    def test_undone_byte_for_byte(self, wanted: Wanted) -> None:
        """Disconnecting gives back the very text."""
        for key, text in texts(wanted).items():
            changed, changes = put_all(wanted.form, text, settings(wanted, text))
            undone = undo(wanted.form, changed, changes, force=False)
            assert (undone.text, undone.kept) == (text, ()), key

    def test_undone_by_its_places_alone(self, wanted: Wanted) -> None:
        """Where our very characters are not there any more, as after a formatter, our values still go and only they."""
        for key, text in texts(wanted).items():
            changed, changes = put_all(wanted.form, text, settings(wanted, text))
            moved = [replace(change, splice=Splice(0, "", "")) for change in changes]
            undone = undo(wanted.form, changed, moved, force=False)
            assert same(wanted.form.parse(undone.text), wanted.form.parse(text), empties=True), key
            assert comments(undone.text) == comments(text), key
