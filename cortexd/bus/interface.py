"""The interface file, read: which members there are, their signatures and what each needs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from cortexd.authority import Action
from cortexd.connection.wire import OBJECT_PATH

ACTION_ANNOTATION = "org.cortexlinux.LLMRouter.Action"
_FILE = "org.cortexlinux.LLMRouter.xml"
_INSTALLED = Path("/usr/share/dbus-1/interfaces") / _FILE
_DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)
_STANDARD_INTERFACES = """
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml_data" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId"><arg name="machine_uuid" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/><arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/><arg name="props" type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/><arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/><arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
"""


class InterfaceMismatch(ValueError):
    """The interface file is missing, damaged, or does not fit the code; the text names the member."""


@dataclass(frozen=True, slots=True)
class Method:
    """`accepted`: the signatures that a call may have. `action` is None where the method needs none."""

    interface: str
    name: str
    takes: str
    gives: str
    action: Action | None
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """The whole file: methods by (interface, name), property types by (interface, name), and its text."""

    methods: dict[tuple[str, str], Method]
    properties: dict[tuple[str, str], str]
    signals: dict[tuple[str, str], str]
    text: str

    def introspection(self, path: str) -> str | None:
        """The XML of the node at `path`; None where there is no such node."""
        if path == OBJECT_PATH:
            return self.text
        prefix = path.rstrip("/") + "/"
        if not OBJECT_PATH.startswith(prefix):
            return None
        child = OBJECT_PATH[len(prefix) :].partition("/")[0]
        return f'{_DOCTYPE}<node>\n  <node name="{child}"/>\n</node>\n'


def find_interface_file() -> Path:
    """The file that came with the modules, as in a checkout and a wheel, or the package's."""
    own = Path(__file__).parents[1] / "files/dbus" / _FILE
    return own if own.is_file() else _INSTALLED


def load_interface(file: Path | None = None) -> Interface:
    """Read the interface file. Raises InterfaceMismatch, also where a method lacks its action."""
    file = file or find_interface_file()
    try:
        text = file.read_text("utf-8")
        root = ET.fromstring(text)  # noqa: S314 - our own file
    except (OSError, UnicodeDecodeError, ET.ParseError) as error:
        raise InterfaceMismatch(f"{file} cannot be read: {error}") from None
    methods: dict[tuple[str, str], Method] = {}
    properties: dict[tuple[str, str], str] = {}
    signals: dict[tuple[str, str], str] = {}
    for interface in root.findall("interface"):
        name = interface.attrib["name"]
        for element in interface.findall("method"):
            method = _method(name, element)
            methods[name, method.name] = method
        for element in interface.findall("property"):
            properties[name, element.attrib["name"]] = element.attrib["type"]
        for element in interface.findall("signal"):
            signals[name, element.attrib["name"]] = "".join(arg.attrib["type"] for arg in element.findall("arg"))
    whole = text.replace("</node>", f"{_STANDARD_INTERFACES}</node>")
    return Interface(methods, properties, signals, whole)


def _method(interface: str, element: ET.Element) -> Method:
    name = element.attrib["name"]
    value = next(
        (note.attrib["value"] for note in element.findall("annotation") if note.attrib["name"] == ACTION_ANNOTATION),
        None,
    )
    if value is None:
        raise InterfaceMismatch(f"{_FILE}: {interface}.{name} carries no {ACTION_ANNOTATION}")
    if value != "none" and value not in tuple(Action):
        raise InterfaceMismatch(f"{_FILE}: {interface}.{name} names an unknown action, {value}")
    arguments = element.findall("arg")
    takes = "".join(arg.attrib["type"] for arg in arguments if arg.attrib.get("direction", "in") == "in")
    return Method(
        interface,
        name,
        takes,
        "".join(arg.attrib["type"] for arg in arguments if arg.attrib.get("direction") == "out"),
        None if value == "none" else Action(value),
        (takes, takes.replace("aa{sv}", "av")),  # several clients can send a list of dictionaries as `av` alone
    )
