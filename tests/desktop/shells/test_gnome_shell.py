"""The extension in a real GNOME Shell without a screen, before the real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message, MessageFlag

from cortexd.client import AsyncClient
from cortexd.connection import BusError, Connection
from cortexd.domain.money import format_usd
from cortexd.errors import Cancelled
from simulated import Behaviour
from tests.desktop.applet import eventually
from tests.desktop.conftest import Router
from tests.desktop.shells.rooted import holds, output_of, rooted
from tests.desktop.test_gnome_logic import EXTENSION
from tests.system.program import plain

UUID = "cortex-llm@cortexlinux.org"
ITEM = "Main.panel.statusArea['cortex-llm']"
SHELL, SHELL_PATH = "org.gnome.Shell", "/org/gnome/Shell"
PICTURES = "CORTEXD_SHELLS_PICTURES"
LABELS = (
    f"{ITEM}.menu._getMenuItems().filter(item => item.visible && item.label && item.label.text)"
    ".map(item => item.label.text)"
)
ACTIVE = 1  # of the shell's states of an extension
SETTINGS = f"""[org/gnome/shell]
enabled-extensions=['{UUID}']
welcome-dialog-last-shown-version='999'
"""
# of the screen: where the menu opens
RIGHT, TOP, WIDTH, HEIGHT = 780, 0, 500, 480


@dataclass(slots=True)
class Shell:
    """A shell that lets itself be asked, on the session bus."""

    connection: Connection
    version: str
    directory: Path

    async def ask(self, script: str) -> Any:
        """What a script gives in the shell. Raises BusError as long as no shell is there."""
        done, value = await self._call(SHELL, SHELL_PATH, "Eval", "s", script)
        assert done, value
        return json.loads(value) if value else None

    async def name(self) -> str:
        """What a screen reader says of the item."""
        return str(await self.ask(f"{ITEM} ? {ITEM}.accessible_name : ''"))

    async def labels(self) -> list[str]:
        return list(await self.ask(LABELS))

    async def until_name(self, *parts: str) -> None:
        await eventually(self.name, lambda name: all(part in name for part in parts), f"a name with {parts}")

    async def until_label(self, start: str) -> None:
        await eventually(
            self.labels, lambda labels: any(label.startswith(start) for label in labels), f"{start!r} in the menu"
        )

    async def click(self, start: str) -> None:
        """On the entry that begins so: a request's model may be known a moment later."""
        begins = f"item => item.label && item.label.text.startsWith({json.dumps(start)})"
        await self.ask(f"{ITEM}.menu._getMenuItems().find({begins}).activate(null)")

    async def picture(self, name: str) -> None:
        """Of the panel's right end, with the menu where it is open."""
        await self.ask("Main.messageTray.getSources().forEach(source => source.destroy())")
        path = self.directory / f"gnome-{self.version}-{name}.png"
        area = [RIGHT, TOP, WIDTH, HEIGHT, False, str(path)]
        done, _path = await self._call(
            f"{SHELL}.Screenshot", f"{SHELL_PATH}/Screenshot", "ScreenshotArea", "iiiibs", *area
        )
        assert done
        if PICTURES in os.environ:
            shutil.copy(path, os.environ[PICTURES])

    async def _call(self, interface: str, path: str, member: str, signature: str, *body: Any) -> list[Any]:
        message = Message(
            destination=interface, path=path, interface=interface, member=member, signature=signature,
            body=list(body), flags=MessageFlag.NO_AUTOSTART,
        )  # fmt: skip
        return [plain(value) for value in (await self.connection.call(message, timeout_s=20)).body]


@pytest.fixture(name="shell")
async def shell_fixture(
    session: str, router: Router, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Shell]:
    """In the language that a test asks for as the fixture's parameter."""
    holds("gnome-shell")
    version = output_of("gnome-shell", "--version").split()[-1].partition(".")[0]
    place = tmp_path / f".local/share/gnome-shell/extensions/{UUID}"
    subprocess.run([EXTENSION / "install", place, "43" if int(version) < 45 else "45"], check=True, timeout=60)
    settings = tmp_path / ".config/glib-2.0/settings/keyfile"
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)
    environment = {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "DBUS_SESSION_BUS_ADDRESS": session,
        "DBUS_SYSTEM_BUS_ADDRESS": router.address,
        "GSETTINGS_BACKEND": "keyfile",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "NO_AT_BRIDGE": "1",
        **language(getattr(request, "param", ""), tmp_path),
    }
    argv = ["gnome-shell", "--headless", "--no-x11", "--unsafe-mode", "--virtual-monitor", "1280x720"]
    async with await Connection.open(session) as connection:
        with rooted(argv, environment, tmp_path / "shell.log"):
            shell = Shell(connection, version, tmp_path)
            await eventually(lambda: started(shell), bool, "the shell's start")
            await shell.ask("Main.overview.hide()")
            yield shell


def language(locale: str, home: Path) -> dict[str, str]:
    """The environment of `locale`, as de_DE, which is made where there is one."""
    if not locale:
        return {}
    place = home / "locales"
    place.mkdir()
    output_of("localedef", "-i", locale, "-f", "UTF-8", str(place / f"{locale}.UTF-8"))
    return {"LOCPATH": str(place), "LC_ALL": f"{locale}.UTF-8"}


async def started(shell: Shell) -> bool:
    try:
        return bool(await shell.ask("!Main.layoutManager._startingUp"))
    except BusError:
        return False


async def day_in_words(client: AsyncClient) -> str:
    async with client.subscribe() as costs:
        return format_usd(round(costs.snapshot.day_usd * 1e9))


@pytest.mark.timeout(180)
class TestGnomeShell:
    async def test_follows_the_daemon(self, shell: Shell, router: Router) -> None:
        """Its item has today's sum as it moves, each state, a click that cancels; it comes back when enabled again."""
        extension = f"Main.extensionManager.lookup('{UUID}')"
        assert await shell.ask(f"[{extension}.state, {extension}.error || '']") == [ACTIVE, ""]
        async with AsyncClient(router.address) as client:
            router.served.simulated.behave("claude", Behaviour(input_tokens=900, output_tokens=400))
            await client.complete("user_chat", "hello")
            await client.complete("code_generation", "hello")
            await shell.until_name(await day_in_words(client), "all is well")
            assert await shell.ask(f"{ITEM}.menu.open(), {ITEM}.menu.isOpen")
            router.served.simulated.behave("claude", Behaviour(delay_s=60))
            waiting = asyncio.create_task(client.complete("user_chat", "hello"))
            await shell.until_label("Cancel user_chat")
            await shell.picture("ok")
            await shell.click("Cancel user_chat")
            with pytest.raises(Cancelled):
                await waiting
            router.served.simulated.reset("claude")
            await client.set_budget("each_user", day_usd=0.01)
            await shell.ask(f"{ITEM}.menu.open()")
            await shell.until_name("a budget is used up")
            await shell.picture("over")
            router.served.stop()
            await shell.until_name(sum_before := (await shell.name()).partition(",")[0], "cortexd does not run now")
            await shell.until_label("Your next request starts it")
            await shell.picture("stale")
            router.assert_never_started_by_the_bus()
            await shell.ask(f"Main.extensionManager.disableExtension('{UUID}')")
            await eventually(shell.name, lambda name: name == "", "the item's end")
            router.served.start()
            await client.set_budget("each_user", remove=True)
            await shell.ask(f"Main.extensionManager.enableExtension('{UUID}')")
            await shell.until_name(sum_before, "all is well")

    @pytest.mark.parametrize(
        ("shell", "today", "right_to_left"),
        [("de_DE", "Heute: ", False), ("ar_EG", "Today: ", True)],
        indirect=["shell"],
    )
    async def test_languages(self, shell: Shell, router: Router, today: str, right_to_left: bool) -> None:
        """It speaks the person's language where it can, and is written from their side."""
        await shell.until_label(today)
        assert await shell.ask(f"{ITEM}.get_text_direction() === imports.gi.Clutter.TextDirection.RTL") is right_to_left
        await shell.ask(f"{ITEM}.menu.open()")
        await shell.picture("rtl" if right_to_left else "german")
