"""What is shipped for GNOME Shell and Plasma: each package has all that it imports, and is the same whenever built."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from cortex_llm_applet.wire_facts import SIGNALS

import cortexd
from tests.desktop.conftest import NEEDED, ROOT, need
from tests.desktop.test_gnome_logic import DRIVERS, EXTENSION

WIDGET = ROOT / "desktop/plasma"
UUID, ID = "cortex-llm@cortexlinux.org", "org.cortexlinux.llm"
MODULES_OF_JAVASCRIPT = re.compile(r"""from '(\.[^']+)'""")
FILES_OF_QML = re.compile(r"""(?:import|available\() ?"([^"]+)\"""")
HANDLER = re.compile(r"function dbus(\w+)\(")


def imported(place: Path) -> set[Path]:
    """The files that those below `place` name."""
    written = {path: path.read_text("utf-8") for path in place.rglob("*") if path.suffix in (".js", ".mjs", ".qml")}
    found = {
        path: [*MODULES_OF_JAVASCRIPT.findall(text), *(FILES_OF_QML.findall(text) if path.suffix == ".qml" else ())]
        for path, text in written.items()
    }
    return {path.parent / name for path, names in found.items() for name in names}


class TestGnomeShell:
    @pytest.mark.parametrize(("kind", "versions"), [("43", range(43, 45)), ("45", range(45, 51))])
    def test_installed(self, kind: str, versions: range, tmp_path: Path) -> None:
        """For shells without modules and for those with them, each with all that it imports."""
        need(NEEDED)
        place = tmp_path / UUID
        subprocess.run([EXTENSION / "install", place, kind], check=True, timeout=60)
        metadata = json.loads((place / "metadata.json").read_text("utf-8"))
        assert metadata["uuid"] == place.name
        assert metadata["shell-version"] == [str(version) for version in versions]
        assert len(imported(place)) > 10
        assert not [path for path in imported(place) if not path.exists()]
        assert (place / "locale/de/LC_MESSAGES/cortex-llm-applet.mo").exists()


class TestPlasma:
    def test_installed(self, tmp_path: Path) -> None:
        """With all that it imports, and catalogues by the name that Plasma looks for."""
        need(NEEDED)
        place = tmp_path / ID
        subprocess.run([WIDGET / "install", place], check=True, timeout=60)
        plugin = json.loads((place / "metadata.json").read_text("utf-8"))["KPlugin"]
        assert (plugin["Id"], plugin["Version"]) == (place.name, cortexd.__version__)
        assert len(imported(place)) > 15
        assert not [path for path in imported(place) if not path.exists()]
        assert (place / f"contents/locale/de/LC_MESSAGES/plasma_applet_{ID}.mo").exists()

    def test_each_signal_has_its_function(self) -> None:
        """Plasma writes a complaint for each signal that has none."""
        written = (WIDGET / "contents/ui/Signals.qml").read_text("utf-8")
        assert SIGNALS.keys() <= set(HANDLER.findall(written))

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([1, "a", None, True], [1, "a", None, True]),
            ({"wrapped": 7}, 7),
            ([{"cost_nano_usd": {"wrapped": 5}, "known": True}], [{"cost_nano_usd": 5, "known": True}]),
            ({"value": {"wrapped": "claude"}}, {"value": "claude"}),
            ({"service": {"length": {"wrapped": 2}, "list": [[], {}]}}, {"service": {"length": 2, "list": [[], {}]}}),
        ],
    )
    def test_values(self, given: object, expected: object) -> None:
        """What Plasma's D-Bus wraps is unwrapped, at any depth, whatever dictionaries call their keys."""
        need({"gjs": "gjs"})
        argv = ["gjs", "-m", str(DRIVERS / "plain.js")]
        done = subprocess.run(argv, input=f"{json.dumps(given)}\n", capture_output=True, text=True, timeout=20)
        assert json.loads(done.stdout) == expected, done.stderr


class TestArchives:
    def test_same_bytes(self, tmp_path: Path) -> None:
        """Three archives, which show neither where nor when they were built."""
        need(NEEDED)
        built = []
        for place in (tmp_path / "one", tmp_path / "a place with another name"):
            argv = [ROOT / "script/package-shells", place]
            done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
            built.append([Path(line) for line in done.stdout.splitlines()])
        assert [path.read_bytes() for path in built[0]] == [path.read_bytes() for path in built[1]]
        names = [zipfile.ZipFile(path).namelist() for path in built[0]]
        assert all("metadata.json" in listed for listed in names)
        assert len(names) == 3
