"""docs/api.md is what script/api-reference makes of the interface file, and says all that its comments say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from tools.api_reference import REFERENCE, XML, reference

TREE = ET.parse(XML).getroot()


class TestReference:
    def test_is_up_to_date(self) -> None:
        """The committed page is the generator's own; where it is not, script/api-reference makes it again."""
        assert REFERENCE.read_text() == reference(XML.read_text()), "run script/api-reference"

    def test_has_every_member(self) -> None:
        """Each method with its signature and action, each signal, each property."""
        page = REFERENCE.read_text()
        for member in TREE.iter():
            if member.tag in ("method", "signal"):
                taken = [arg for arg in member.findall("arg") if arg.attrib.get("direction", "in") == "in"]
                words = ", ".join(f"{arg.attrib['type']} {arg.attrib['name']}" for arg in taken)
                assert f"`{member.attrib['name']}({words})" in page
            elif member.tag == "property":
                assert f"| `{member.attrib['name']}` | `{member.attrib['type']}` |" in page
        actions = [note.attrib["value"] for note in TREE.iter("annotation") if note.attrib["name"].endswith(".Action")]
        shown = re.findall(r"^polkit action: (?:`(.+)`|(none) needed)$", page, re.MULTILINE)
        assert [action or none for action, none in shown] == actions

    def test_loses_no_word(self) -> None:
        """Every word of the comments is in the page, in the same number at least."""
        comments = " ".join(re.findall(r"<!--(.*?)-->", XML.read_text(), re.DOTALL))
        comments = re.sub(r"docs/|^\s*[\w.]+:$|@\w+:|This file", " ", comments, flags=re.MULTILINE)
        page = words(REFERENCE.read_text())
        assert {word: count for word, count in words(comments).items() if page.get(word, 0) < count} == {}


def words(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in re.findall(r"\w+", text.replace("`", "")):
        counts[word] = counts.get(word, 0) + 1
    return counts
