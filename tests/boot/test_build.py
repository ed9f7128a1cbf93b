"""The package as it is built: the same bytes each time, and nothing for lintian to complain of."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.install import apt, copy_into
from tests.boot.machine import CHECKOUT, Machine


def copy_of_checkout(directory: Path) -> Path:
    """What git knows or would add, and the virtual environment."""
    listed = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30).stdout
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, directory / name)
    (directory / ".venv").symlink_to(CHECKOUT / ".venv")
    return directory


def build(checkout: Path, into: Path, **environment: str) -> bytes:
    cache = {"CORTEXD_PACKAGE_CACHE": str(CHECKOUT / ".cache/package"), "SOURCE_DATE_EPOCH": "1795000000"}
    built = subprocess.run(
        [checkout / "script/package", "--suite", os.environ["CORTEXD_BOOT_SUITE"], into],
        env={**os.environ, **cache, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.splitlines()[-1]).read_bytes()


class TestBuild:
    @pytest.mark.timeout(600)
    def test_same_bytes(self, package: Path, tmp_path: Path) -> None:
        """Where, when and in which language it is built does not show."""
        one = copy_of_checkout(tmp_path / "one")
        other = copy_of_checkout(tmp_path / "a place with another name")
        first = build(one, tmp_path / "first", TZ="Asia/Tokyo", LC_ALL="C")
        second = build(other, tmp_path / "second", TZ="America/Lima", LC_ALL="C.UTF-8")
        assert first == second

    @pytest.mark.timeout(300)
    def test_lintian(self, fresh: Callable[[], Machine], package: Path, for_postgresql: Path) -> None:
        """The suite's own lintian sees nothing in either package but what its overrides list with the reason."""
        machine = fresh()
        apt(machine, "install", "lintian")
        checks = ("lintian", "--allow-root", "--tag-display-limit=0", "--fail-on=error,warning")
        for built in (package, for_postgresql):
            copy_into(machine, built, f"/root/{built.name}")
            done = machine.run(*checks, f"/root/{built.name}", check=False, timeout=110)
            assert (done.status, done.stdout) == (0, "")
