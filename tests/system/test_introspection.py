"""The interface as tools show it: what is documented is there, and what is there is documented."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message

from cortexd.bus.interface import ACTION_ANNOTATION, load_interface
from cortexd.connection import BusError
from tests.system.calls import OBJECT
from tests.system.daemon import name_owner
from tests.system.namespace import CHECKOUT
from tests.system.people import Completed
from tests.system.program import (  # noqa: F401
    INTROSPECTABLE,
    PATH,
    PEER,
    PROPERTIES,
    STANDARD,
    Program,
    message,
    messages,
    program_fixture,
    refused,
)
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

AsUser = Callable[..., Completed]
FILE = CHECKOUT / "dbus" / "org.cortexlinux.LLMRouter.xml"
TREE = ET.parse(FILE).getroot()
INTERFACES = {node.attrib["name"]: node for node in TREE.findall("interface")}
STANDARD_INTERFACES = {INTROSPECTABLE, PEER, PROPERTIES}
METHODS = [(name, node) for name, interface in INTERFACES.items() for node in interface.findall("method")]
PROPERTY_NODES = [(name, node) for name, interface in INTERFACES.items() for node in interface.findall("property")]
ids = [f"{name.removeprefix('org.cortexlinux.')}.{node.attrib['name']}" for name, node in METHODS]
SAMPLES: dict[str, Any] = {
    "s": "user_chat",
    "u": 1,
    "d": 0.5,
    "a{sv}": {},
    "aa{sv}": messages("hello"),
    "a(saa{sv})": [],
}


def taken(method: ET.Element) -> list[str]:
    return [arg.attrib["type"] for arg in method.findall("arg") if arg.attrib["direction"] == "in"]


def given(method: ET.Element) -> str:
    return "".join(arg.attrib["type"] for arg in method.findall("arg") if arg.attrib["direction"] == "out")


async def introspect(program: Program, path: str) -> str:
    [text] = await program.send(message("Introspect", path=path, interface=INTROSPECTABLE))
    assert isinstance(text, str)
    return text


class TestTools:
    @pytest.mark.parametrize("user", ["alice", "bob"])
    def test_busctl_tree(self, shared: Shared, as_user: AsUser, user: str) -> None:
        """`busctl tree` finds the one object from the root."""
        done = as_user(user, ["busctl", "--system", "--list", "tree", OBJECT[0]])
        assert done.stdout.split() == ["/", "/org", "/org/cortexlinux", OBJECT[1]], done.stderr

    def test_busctl_introspect(self, shared: Shared, as_user: AsUser) -> None:
        """`busctl introspect` lists every method, signal and property of the file with its signature, and no other."""
        done = as_user("bob", ["busctl", "--system", "introspect", *OBJECT])
        assert done.returncode == 0, done.stderr
        listed, interface = set(), ""
        for line in done.stdout.splitlines()[1:]:
            name, kind, signature, result, *_ = line.split()
            interface = name if kind == "interface" else interface
            if kind != "interface" and interface not in STANDARD_INTERFACES:
                listed.add((interface, name.lstrip("."), kind, signature, "" if kind == "property" else result))
        assert listed == set(documented())

    def test_gdbus_introspect(self, shared: Shared, as_user: AsUser) -> None:
        """`gdbus introspect --recurse` from `/` shows the object with its interfaces and members."""
        recurse = ["gdbus", "introspect", "--system", "--recurse", "--dest", OBJECT[0], "--object-path", "/"]
        done = as_user("bob", recurse)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"node (\S+) {", done.stdout) == ["/", "/org", "/org/cortexlinux", OBJECT[1]]
        assert set(re.findall(r"interface (\S+) {", done.stdout)) == {*INTERFACES, *STANDARD_INTERFACES}
        for _, member, *_ in documented():
            assert re.search(rf"\b{member}\b", done.stdout), member


def documented() -> Iterator[tuple[str, str, str, str, str]]:
    """(interface, name, kind, signature, result) of each member of the file, as busctl prints them."""
    for interface, node in METHODS:
        yield interface, node.attrib["name"], "method", "".join(taken(node)) or "-", given(node) or "-"
    for interface, node in PROPERTY_NODES:
        yield interface, node.attrib["name"], "property", node.attrib["type"], ""
    for interface, element in INTERFACES.items():
        for node in element.findall("signal"):
            arguments = "".join(arg.attrib["type"] for arg in node.findall("arg"))
            yield interface, node.attrib["name"], "signal", arguments or "-", "-"


class TestIntrospect:
    async def test_is_the_file(self, shared: Shared, program: Program) -> None:
        """What Introspect answers is the installed file, documentation included, with the standard interfaces added."""
        text = await introspect(program, PATH)
        assert text.startswith(FILE.read_text().partition("</node>")[0])
        found = {node.attrib["name"]: node for node in ET.fromstring(text).findall("interface")}
        assert found.keys() == {*INTERFACES, *STANDARD_INTERFACES}
        for name, node in INTERFACES.items():
            assert ET.canonicalize(ET.tostring(found[name])) == ET.canonicalize(ET.tostring(node))

    @pytest.mark.parametrize(
        ("path", "child"), [("/", "org"), ("/org", "cortexlinux"), ("/org/cortexlinux", "LLMRouter")]
    )
    async def test_leads_to_the_object(self, shared: Shared, program: Program, path: str, child: str) -> None:
        """Each step from the root names the next one and carries no interface of ours."""
        root = ET.fromstring(await introspect(program, path))
        assert [node.attrib["name"] for node in root.findall("node")] == [child]
        assert not {node.attrib["name"] for node in root.findall("interface")} & INTERFACES.keys()

    def test_everything_is_documented(self) -> None:
        """In the file a comment stands before each interface, method, signal and property, and names each argument."""
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
        before = ""
        for node in ET.parse(FILE, parser).getroot().iter():
            if node.tag in ("interface", "method", "signal", "property"):
                assert before.strip().startswith(f"{node.attrib['name']}:"), node.attrib["name"]
                for argument in node.findall("arg"):
                    assert f"@{argument.attrib['name']}:" in before, (node.attrib["name"], argument.attrib["name"])
            before = (node.text or "") if node.tag is ET.Comment else before  # type: ignore[comparison-overlap]  # see insert_comments


# of the samples, which are right in their types alone
REASONS = ("InvalidArgument", "RequestNotFound", "UnknownProvider")


async def outcome(program: Program, call: Message) -> str:
    """The signature of the answer, or the name of the error."""
    try:
        return str((await program.connection.call(call, timeout_s=30)).signature)
    except BusError as error:
        return error.name


class TestMembers:
    @pytest.mark.parametrize(("interface", "method"), METHODS, ids=ids)
    async def test_method_is_reachable(
        self, shared: Shared, program: Program, interface: str, method: ET.Element
    ) -> None:
        """A call with the documented signature is taken; with one argument more it is InvalidArgs."""
        name, signature = method.attrib["name"], "".join(taken(method))
        arguments = [SAMPLES[one] for one in taken(method)]
        assert await outcome(program, message(name, signature, *arguments, interface=interface)) in (
            given(method),
            *(f"org.cortexlinux.LLMRouter.Error.{error}" for error in REASONS),
        )
        with refused(f"{STANDARD}InvalidArgs"):
            await program.send(message(name, signature + "y", *arguments, 0, interface=interface))

    @pytest.mark.parametrize(("interface", "node"), PROPERTY_NODES, ids=[n.attrib["name"] for _, n in PROPERTY_NODES])
    async def test_property_has_its_type(
        self, shared: Shared, program: Program, interface: str, node: ET.Element
    ) -> None:
        """Each documented property can be read and has the documented type; GetAll gives the same."""
        name = node.attrib["name"]
        reply = await program.connection.call(message("Get", "ss", interface, name, interface=PROPERTIES), timeout_s=30)
        assert reply.body[0].signature == node.attrib["type"]
        everything = await program.connection.call(
            message("GetAll", "s", interface, interface=PROPERTIES), timeout_s=30
        )
        assert everything.body[0][name].signature == node.attrib["type"]


ACTIONS = re.compile(rf' *<annotation name="{re.escape(ACTION_ANNOTATION)}" value="[^"]+"/>\n')
EXTRA = '<method name="Extra"><annotation name="org.cortexlinux.LLMRouter.Action" value="none"/></method>'


class TestAgreement:
    @pytest.mark.parametrize("number", range(len(METHODS)), ids=ids)
    def test_a_method_without_its_action_is_refused(self, tmp_path: Path, number: int) -> None:
        """An interface file that forgets one action is not loaded, and the method is named."""
        text = FILE.read_text()
        missing = list(ACTIONS.finditer(text))[number]
        copy = tmp_path / FILE.name
        copy.write_text(text[: missing.start()] + text[missing.end() :])
        interface, method = METHODS[number]
        with pytest.raises(ValueError, match=re.escape(f"{interface}.{method.attrib['name']} carries no")):
            load_interface(copy)

    def test_an_unknown_action_is_refused(self, tmp_path: Path) -> None:
        """A misspelt action does not count as none."""
        copy = tmp_path / FILE.name
        copy.write_text(FILE.read_text().replace('value="none"', 'value="nine"', 1))
        with pytest.raises(ValueError, match="nine"):
            load_interface(copy)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (ACTIONS, "", "Ask"),
            (re.compile("</interface>"), f"{EXTRA}</interface>", "Extra"),
            (re.compile('<property name="Version"'), '<property name="Revision"', "Revision"),
            (re.compile('<method name="GetStats"'), '<method name="GetStatistics"', "GetStatistics"),
        ],
        ids=["action", "method", "property", "name"],
    )
    def test_the_daemon_does_not_start_with_another_file(
        self, as_user: AsUser, namespace: Path, old: re.Pattern[str], new: str, named: str
    ) -> None:
        """A daemon whose handlers and interface file disagree says so and leaves before it owns the name."""
        copy = namespace / f"copy-{named}"
        shutil.copytree(CHECKOUT / "cortexd", copy / "cortexd", ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "cortexd/files/dbus" / FILE.name).write_text(old.sub(new, FILE.read_text(), count=1))
        (copy / "config.toml").write_text(f'[ledger]\npath = "{copy}/state/ledger.sqlite3"\n')
        started = f"cd {copy} && exec {CHECKOUT}/.venv/bin/python -m cortexd --config config.toml"
        owner = name_owner()
        done = as_user("root", ["sh", "-c", started])
        assert done.returncode == 70, done.stderr
        assert named in done.stderr
        assert "Traceback" not in done.stderr
        assert name_owner() == owner


def test_samples_cover_the_interface() -> None:
    """Each type that a method takes has a value to try it with."""
    assert {one for _, method in METHODS for one in taken(method)} <= SAMPLES.keys()
