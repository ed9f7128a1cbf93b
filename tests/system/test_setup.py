"""Set-up keeps its promise: locks that hold everywhere, nothing foreign in the checkout, refusals that help."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.system.namespace import CHECKOUT, PYTHON
from tests.system.people import Completed
from tests.system.terminal import switch_user

AsUser = Callable[..., Completed]
LOCKS = ["requirements.txt", "requirements-dev.txt"]
REFUSED = 125


def locked(name: str) -> dict[str, str]:
    """Package -> version."""
    text = (CHECKOUT / name).read_text()
    return {normal(package): version for package, version in re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE)}


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def wanted(extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return [
        Requirement(line) for line in (project["optional-dependencies"][extra] if extra else project["dependencies"])
    ]


class TestLocks:
    @pytest.mark.parametrize("name", LOCKS)
    def test_lines(self, name: str) -> None:
        """A lock holds pinned packages and their hashes: no address, no option, nothing that only one machine knows."""
        line = re.compile(r"[a-z0-9][\w.-]*==[\w.+!-]+ \\| {4}--hash=sha256:[0-9a-f]{64}( \\)?| {4}#.*|")
        text = (CHECKOUT / name).read_text()
        assert [found for found in text.splitlines() if not line.fullmatch(found)] == []
        assert "/" not in text

    @pytest.mark.parametrize(("name", "extra"), [("requirements.txt", None), ("requirements-dev.txt", "dev")])
    def test_are_up_to_date(self, name: str, extra: str | None) -> None:
        """What pyproject.toml asks for is locked, in a version that it allows."""
        versions = locked(name)
        for requirement in [*wanted(), *(wanted(extra) if extra else [])]:
            assert requirement.specifier.contains(versions[normal(requirement.name)]), requirement

    def test_agree(self) -> None:
        """Tests run with the very versions that are installed."""
        assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()

    def test_hold_on_other_machines(self) -> None:
        """A compiled package has hashes for many platforms, not just for the one that made the lock."""
        blocks = re.split(r"^(?=\S)", (CHECKOUT / "requirements-dev.txt").read_text(), flags=re.MULTILINE)
        hashes = {block.split("==")[0]: block.count("--hash") for block in blocks if "==" in block}
        assert min(hashes[package] for package in ("msgspec", "aiohttp", "sqlalchemy", "mypy", "ruff")) > 15


class TestCheckout:
    def test_one_owner(self) -> None:
        """Every file belongs to the checkout's owner; none was left behind by root."""
        owner = CHECKOUT.stat().st_uid
        command = ["find", str(CHECKOUT), "-name", ".git", "-prune", "-o", "!", "-uid", str(owner), "-print", "-quit"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""

    def test_bootstrap_twice(self, as_user: AsUser) -> None:
        """Where everything is there, script/bootstrap does nothing and says nothing."""
        done = as_user("root", ["script/bootstrap"])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @pytest.mark.slow
    def test_bootstrap_says_what_comes_next(self, as_user: AsUser, namespace: Path) -> None:
        """Where it made something and is called by itself: a script that goes on, as the demo, has its own words."""
        copy = namespace / "fresh"
        shutil.copytree("script", copy / "script")
        (copy / "requirements-dev.txt").touch()
        for script, says in (("bootstrap", True), ("demo", False)):
            shutil.rmtree(copy / ".venv", ignore_errors=True)
            done = as_user("root", [str(copy / "script" / script)])
            assert ("making .venv" in done.stdout, "ready: " in done.stdout) == (True, says), done.stderr

    @pytest.mark.slow
    def test_the_demo_says_what_it_asks(self, as_user: AsUser) -> None:
        """That no real model answers, before the first one does."""
        done = as_user("root", [PYTHON, "-m", "demo"], timeout=180)
        said = done.stdout.find("The models are simulated")
        assert (done.returncode, 0 < said < done.stdout.find("cortexctl providers")) == (0, True), done.stderr

    @pytest.mark.parametrize(
        "name", ["other-pythons", "package", "package-applet", "package-shells", "sdk-versions", "wheel"]
    )
    def test_scripts_say_what_they_do(self, as_user: AsUser, name: str) -> None:
        """With --help: their heads, and nothing is done."""
        done = as_user("root", [f"script/{name}", "--help"], timeout=10)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"script/{name} [")

    def test_cortexd_is_not_installed(self) -> None:
        """cortexd runs from the checkout: no copy of it lies in the virtual environment."""
        assert list((CHECKOUT / ".venv").glob("lib/python3*/site-packages/cortexd*")) == []


class TestRefusals:
    def test_without_the_capability(self, as_user: AsUser) -> None:
        """As root in a default container it stops, naming CAP_SYS_ADMIN and the option that gives it."""
        confined = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        done = as_user("root", [*confined, "script/private-bus", "true"], timeout=10)
        assert done.returncode == REFUSED
        assert "CAP_SYS_ADMIN" in done.stderr
        assert "docker run --cap-add SYS_ADMIN" in done.stderr

    def test_without_uidmap(self, as_user: AsUser, namespace: Path) -> None:
        """A user without sudo and without newuidmap is told to install uidmap, or to run it as root."""
        programs = namespace / "programs"
        programs.mkdir()
        for entry in os.scandir("/usr/bin"):
            if entry.name not in ("newuidmap", "newgidmap", "sudo"):
                (programs / entry.name).symlink_to(entry.path)
        (programs / "range").write_text("bob:100000:65536\n")
        with_a_range = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
        confined = ["unshare", "--mount", "sh", "-c", with_a_range, str(programs / "range")]
        command = ["env", f"PATH={programs}", "script/private-bus", "true"]
        done = as_user("root", [*confined, *switch_user("bob", command)], timeout=10)
        assert done.returncode == REFUSED
        assert "sudo apt-get install uidmap" in done.stderr
        assert "sudo script/private-bus" in done.stderr

    @pytest.mark.skipif(not Path("/usr/bin/newuidmap").exists(), reason="needs newuidmap (package uidmap)")
    def test_without_a_range(self, as_user: AsUser) -> None:
        """A user without subordinate users is told the usermod that gives them."""
        done = as_user("bob", ["script/private-bus", "true"], timeout=10)
        assert done.returncode == REFUSED
        assert re.search(r"sudo usermod --add-subuids \d+-\d+ --add-subgids \d+-\d+ bob$", done.stderr, re.MULTILINE)

    def test_without_an_environment(self, as_user: AsUser, namespace: Path) -> None:
        """A fresh checkout is told to run script/bootstrap."""
        copy = namespace / "checkout"
        shutil.copytree("script", copy / "script")
        done = as_user("bob", [str(copy / "script" / "private-bus"), "true"], timeout=10)
        assert done.returncode == REFUSED
        assert "script/bootstrap" in done.stderr

    def test_unknown_way(self, as_user: AsUser) -> None:
        """A misspelt CORTEXD_PRIVATE_BUS_AS is named, with what it may be."""
        done = as_user("root", ["script/private-bus", "true"], environment={"CORTEXD_PRIVATE_BUS_AS": "rot"})
        assert done.returncode == REFUSED
        assert "root, sudo or userns, not 'rot'" in done.stderr

    def test_without_a_command(self, as_user: AsUser) -> None:
        """Without a command it says how it is used."""
        done = as_user("bob", ["script/private-bus"])
        assert done.returncode == 0
        assert done.stdout.startswith("script/private-bus CMD…")
