"""The bus API's names and signatures as a Python module for the desktop applet, made from the interface file.

The applet runs on the distribution's Python, where importing cortexd.client would cost ten of its 25 MB.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
XML = ROOT / "dbus/org.cortexlinux.LLMRouter.xml"
FACTS = ROOT / "desktop/cortex_llm_applet/wire_facts.py"
_ACTION = "org.cortexlinux.LLMRouter.Action"
_HEAD = '''"""Names and signatures of the bus API, made by script/applet-facts from org.cortexlinux.LLMRouter.xml."""

'''


def facts(xml: str) -> str:
    """The module's text."""
    node = ET.fromstring(xml)  # noqa: S314 - a file of ours
    path = node.attrib["name"]
    interfaces = node.findall("interface")
    methods = [
        f'    "{method.attrib["name"]}": ("{interface.attrib["name"]}", "{_arguments(method, "in")}"),\n'
        for interface in interfaces
        for method in interface.findall("method")
    ]
    signals = [
        f'    "{signal.attrib["name"]}": "{_arguments(signal, None)}",\n'
        for interface in interfaces
        for signal in interface.findall("signal")
    ]
    action = next(_action(method) for method in node.iter("method") if method.attrib["name"] == "Ask")
    return "".join(
        (
            _HEAD,
            f'BUS_NAME = "{interfaces[0].attrib["name"]}"\n',
            f'OBJECT_PATH = "{path}"\n',
            f'INTERFACE = "{interfaces[0].attrib["name"]}"\n',
            f'ASK_ACTION = "{action}"\n',
            "# method -> interface and signature of its arguments\nMETHODS = {\n",
            *methods,
            "}\n# signal of INTERFACE -> signature\nSIGNALS = {\n",
            *signals,
            "}\n",
        )
    )


def _arguments(member: ET.Element, direction: str | None) -> str:
    types = (arg.attrib["type"] for arg in member.findall("arg") if arg.attrib.get("direction") == direction)
    return f"({''.join(types)})"


def _action(method: ET.Element) -> str:
    return next(note.attrib["value"] for note in method.findall("annotation") if note.attrib["name"] == _ACTION)


def main() -> int:
    made = facts(XML.read_text("utf-8"))
    if "--check" in sys.argv[1:]:
        return int(FACTS.read_text("utf-8") != made)
    FACTS.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
