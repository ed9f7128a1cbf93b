"""The applet's Debian package, as script/package-applet builds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.desktop.conftest import NEEDED, ROOT, need

EXPECTED = (
    "./etc/xdg/autostart/org.cortexlinux.LLMApplet.desktop",
    "./usr/bin/cortex-llm-applet",
    "./usr/bin/cortex-llm-window",
    "./usr/share/applications/org.cortexlinux.LLMApplet.desktop",
    "./usr/share/applications/org.cortexlinux.LLMWindow.desktop",
    "./usr/share/cortex-llm-applet/cortex_llm_applet/__main__.py",
    "./usr/share/doc/cortex-llm-applet/copyright",
    "./usr/share/icons/hicolor/scalable/status/cortex-llm-ok.svg",
    "./usr/share/icons/hicolor/symbolic/status/cortex-llm-ok-symbolic.svg",
    "./usr/share/locale/de/LC_MESSAGES/cortex-llm-applet.mo",
    "./usr/share/man/man1/cortex-llm-applet.1.gz",
    "./usr/share/man/man1/cortex-llm-window.1.gz",
    "./usr/share/metainfo/org.cortexlinux.LLMApplet.metainfo.xml",
)


def build(directory: Path, **environment: str) -> Path:
    done = subprocess.run(
        [ROOT / "script/package-applet", directory],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1795000000", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def listed(package: Path, option: str) -> str:
    return subprocess.run(["dpkg-deb", option, package], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(name="package")
def package_fixture(tmp_path: Path) -> Path:
    need(NEEDED)
    return build(tmp_path / "one")


class TestPackage:
    def test_holds_what_a_desktop_looks_for(self, package: Path) -> None:
        """Program, modules, icons, catalogue, autostart; nothing compiled by Python, nothing that others may write."""
        lines = [line.split(maxsplit=5) for line in listed(package, "--contents").splitlines()]
        places = {line[5] for line in lines}
        assert set(EXPECTED) <= places
        assert not [place for place in places if "__pycache__" in place]
        assert {line[1] for line in lines} == {"root/root"}
        assert {line[0] for line in lines} <= {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}

    def test_needs_no_compiler_and_no_cortexd(self, package: Path) -> None:
        """One package for both Debians, on their PyGObject; the daemon and the window's libraries may come later."""
        control = listed(package, "--field")
        assert "Architecture: all" in control
        [depends] = [line for line in control.splitlines() if line.startswith("Depends: ")]
        assert "python3-gi" in depends
        assert "gir1.2-gtk" not in depends
        [recommends] = [line for line in control.splitlines() if line.startswith("Recommends: ")]
        assert "gir1.2-adw-1" in recommends
        assert "cortexd" not in depends

    def test_same_bytes(self, package: Path, tmp_path: Path) -> None:
        """Where, when and in which language it is built does not show."""
        other = build(tmp_path / "a place with another name", TZ="Asia/Tokyo", LC_ALL="C")
        assert package.read_bytes() == other.read_bytes()
