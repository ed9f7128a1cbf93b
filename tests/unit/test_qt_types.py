"""The interface file names a type for all that Qt has no own one for, without which qdbusxml2cpp stops."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools.api_reference import XML

QT_TYPE = "org.qtproject.QtDBus.QtTypeName."
TYPES = {
    "a{sv}": "QVariantMap",
    "aa{sv}": "QList<QVariantMap>",
    "a(saa{sv})": "LLMRouterRequests",
    "a(sa{sv})": "LLMRouterAnswers",
}
NATIVE = {"s", "b", "i", "u", "x", "t", "d", "h", "as"}
TREE = ET.parse(XML).getroot()
MEMBERS = [node for node in TREE.iter() if node.tag in ("method", "signal")]


def named(member: ET.Element) -> dict[str, str]:
    """The annotations: "In0" and so on to the type."""
    notes = {note.attrib["name"]: note.attrib["value"] for note in member.findall("annotation")}
    return {name.removeprefix(QT_TYPE): value for name, value in notes.items() if name.startswith(QT_TYPE)}


class TestInterfaceFile:
    @pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.attrib["name"])
    def test_names_every_type(self, member: ET.Element) -> None:
        """Arguments in and out are counted each from 0; a signal's go out."""
        expected: dict[str, str] = {}
        counts = {"In": 0, "Out": 0}
        for arg in member.findall("arg"):
            direction, kind = arg.attrib.get("direction", "out").capitalize(), arg.attrib["type"]
            if kind not in NATIVE:
                expected[f"{direction}{counts[direction]}"] = TYPES[kind]
            counts[direction] += 1
        assert named(member) == expected

    def test_properties_need_none(self) -> None:
        """All of them are of types that Qt knows."""
        assert {node.attrib["type"] for node in TREE.iter("property")} <= NATIVE

    @pytest.mark.parametrize("interface", [node.attrib["name"] for node in TREE.findall("interface")])
    def test_is_read_by_qdbusxml2cpp(self, tmp_path: Path, interface: str) -> None:
        """Without a warning; every method and signal is there."""
        if shutil.which("qdbusxml2cpp") is None:
            pytest.skip("needs qdbusxml2cpp: apt-get install qtbase5-dev-tools")
        command = ["qdbusxml2cpp", "-p", "router", str(XML), interface]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        header = (tmp_path / "router.h").read_text()
        node = next(node for node in TREE.findall("interface") if node.attrib["name"] == interface)
        for member in node.findall("method") + node.findall("signal"):
            assert f" {member.attrib['name']}(" in header
