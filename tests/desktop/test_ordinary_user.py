"""The applet as an ordinary user on the system bus, with the real polkitd: who may ask, and what no key means."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cortexd.connection import system_address
from tests.bus.private_dbus import PrivateBus
from tests.desktop.applet import Applet, applet, eventually
from tests.system.conftest import (  # noqa: F401
    daemon,
    namespace,
    pytest_runtest_makereport,
    simulated,
    simulated_of_session,
)
from tests.system.daemon import Daemon

NOT_ALLOWED = "You are not allowed to ask language models."
RULE = Path("/etc/polkit-1/rules.d/10-test.rules")
NO_FOR_BOB = """polkit.addRule(function (action, subject) {
  if (action.id == "org.cortexlinux.LLMRouter.complete" && subject.user == "bob") return polkit.Result.NO;
});
"""
StartDaemon = Callable[..., Daemon]


@pytest.fixture(name="place")
def place_fixture(installed: Path) -> Iterator[Path]:
    """A directory that every user may enter, with a session bus's socket and the program."""
    with TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        shutil.copytree(installed.parents[2], place / "root")
        (place / "root").chmod(0o755)
        yield place


@asynccontextmanager
async def as_bob(place: Path) -> AsyncIterator[Applet]:
    bus = PrivateBus(place, {})
    bus.start()
    try:
        program = place / "root/usr/bin/cortex-llm-applet"
        async with applet(program, bus.address, system_address(), user="bob") as shown:
            yield shown
    finally:
        bus.kill()


class TestPermission:
    async def test_refused_and_allowed_again(self, place: Path, daemon: StartDaemon) -> None:  # noqa: F811
        """Whom an administrator's rule refuses is told so, as soon as polkitd has read it, and until it is gone."""
        daemon()
        async with as_bob(place) as shown:
            await shown.await_state("ok")  # with a password
            RULE.write_text(NO_FOR_BOB)
            try:
                await eventually(shown.labels, lambda labels: NOT_ALLOWED in labels, "the refusal")
                await shown.await_state("error")
            finally:
                RULE.unlink()
            await shown.await_state("ok")


class TestKeys:
    async def test_none_yet(self, place: Path, daemon: StartDaemon) -> None:  # noqa: F811
        """Without a key of any provider it says how to set one, and is right after the reload that brought one."""
        without = daemon(keys={})
        async with as_bob(place) as shown:
            await shown.await_state("unconfigured")
            await shown.await_entry("Set one: sudo cortexctl credentials set claude")
            key = without.directory / "credentials/keys_claude"
            key.write_text("sk-sim-later")
            shutil.chown(key, "cortexd", "cortexd")
            without.reload()
            await shown.await_state("ok")
