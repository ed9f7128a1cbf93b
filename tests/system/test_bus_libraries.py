"""The examples of docs/clients.md with D-Bus libraries that are no part of cortexd, run as a user runs them.

dbus-python and Qt come from Debian. script/bus-clients installs the others, locked in tests/system/clients.lock and in
node's package-lock.json: their tests are slow ones. What is not on this machine is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.namespace import CHECKOUT
from tests.system.people import Completed
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture
from tests.system.test_bus_examples import ANSWER, EXAMPLES, PROMPT, USD, run

__all__ = ["shared_fixture", "shared_of_module_fixture"]

AsUser = Callable[..., Completed]
SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = "needs the D-Bus libraries: script/test installs them with CORTEXD_SLOW=1, script/bus-clients alone"
QT_NEEDED = "needs a compiler and Qt: apt-get install g++ pkg-config qtbase5-dev qtbase5-dev-tools"
ANSWERED = rf"{re.escape(ANSWER)}\n{USD}\n"
STREAMED = rf"{ANSWERED}{re.escape(ANSWER)}\n"
COSTS = rf"(user_chat by claude: {USD}\n){{2}}"
# the example -> what it prints, and the module of Debian's without which it cannot run
LIBRARIES = {
    "with_jeepney.py": (STREAMED + COSTS, ""),
    "with_dbus_fast.py": (STREAMED, ""),
    "with_sdbus.py": (STREAMED, ""),
    "with_dasbus.py": (STREAMED, "gi"),
    "with_pydbus.py": (ANSWERED, "gi"),
}


def has_module(name: str) -> bool:
    return not name or subprocess.run([SYSTEM_PYTHON, "-c", f"import {name}"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def made() -> Path:
    """Where script/bus-clients has put the libraries."""
    directory = os.environ.get("CORTEXD_BUS_CLIENTS")
    if not directory:
        pytest.skip(NEEDED)
    return Path(directory)


def packages(made: Path) -> Path:
    [found] = (made / "python").glob("lib/python3.*/site-packages")
    return found


@pytest.fixture(scope="module")
def libraries(namespace: Path, made: Path) -> Path:
    """The locked libraries for Python, where every user can reach them; Qt's, which are large, stay where they are."""
    without = shutil.ignore_patterns("PySide6", "shiboken6")
    return Path(shutil.copytree(packages(made), namespace / "bus-clients", ignore=without))


@pytest.fixture(scope="module")
def node_project(namespace: Path, made: Path) -> Path:
    """The example with its packages, where every user can reach it."""
    if not (made / "node").is_dir():
        pytest.skip("needs node, npm, make and g++")
    project = Path(shutil.copytree(made / "node", namespace / "bus-examples-node"))
    shutil.copy(CHECKOUT / EXAMPLES / "node/ask.js", project)
    return project


@pytest.fixture(scope="module")
def built_qt(namespace: Path) -> Path:
    """The compiled Qt example, where every user can reach it."""
    found = all(shutil.which(program) for program in ("g++", "pkg-config", "qdbusxml2cpp"))
    if not found or subprocess.run(["pkg-config", "--exists", "Qt5DBus"]).returncode:
        pytest.skip(QT_NEEDED)
    project = namespace / "bus-examples-qt"
    shutil.copytree(CHECKOUT / EXAMPLES / "qt", project)
    shutil.copy(CHECKOUT / "dbus/org.cortexlinux.LLMRouter.xml", project)
    subprocess.run(["sh", "build.sh", "org.cortexlinux.LLMRouter.xml"], cwd=project, check=True)
    return project / "ask"


class TestPython:
    def test_dbus_python(self, shared: Shared, as_user: AsUser) -> None:
        """The answer and its cost, then the same as a stream."""
        if not has_module("dbus"):
            pytest.skip("needs dbus-python: apt-get install python3-dbus")
        assert re.fullmatch(STREAMED, run(as_user, SYSTEM_PYTHON, str(EXAMPLES / "with_dbus_python.py")))

    @pytest.mark.slow
    @pytest.mark.parametrize("example", LIBRARIES)
    def test_library(self, shared: Shared, as_user: AsUser, libraries: Path, example: str) -> None:
        """The answer and its cost, and a stream or costs as signals where the library can."""
        expected, module = LIBRARIES[example]
        if not has_module(module):
            pytest.skip(f"needs {module}: apt-get install python3-{module}")
        done = as_user(
            "alice", [SYSTEM_PYTHON, str(EXAMPLES / example), PROMPT], environment={"PYTHONPATH": str(libraries)}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(expected, done.stdout)

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_pyside(self, shared: Shared, as_user: AsUser, made: Path) -> None:
        """QtDBus for Python: the answer and its cost. It runs as root, who alone can reach it."""
        environment = {"PYTHONPATH": str(packages(made))}
        done = as_user("root", [SYSTEM_PYTHON, str(EXAMPLES / "with_pyside.py"), PROMPT], environment=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(ANSWERED, done.stdout)


class TestNode:
    @pytest.mark.slow
    def test_dbus_next(self, shared: Shared, as_user: AsUser, node_project: Path) -> None:
        """The answer and its cost, then the same as a stream."""
        assert re.fullmatch(STREAMED, run(as_user, "node", str(node_project / "ask.js")))


class TestQt:
    @pytest.mark.timeout(300)
    def test_generated_proxy(self, shared: Shared, as_user: AsUser, built_qt: Path) -> None:
        """The answer and its cost, the same as a stream, and as a batch of two."""
        assert re.fullmatch(rf"{STREAMED}({re.escape(ANSWER)}\n){{2}}", run(as_user, str(built_qt)))
