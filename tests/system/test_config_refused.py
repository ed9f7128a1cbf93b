"""A setting that cannot be read, counted or requested stops the start (status 78), and a reload keeps the old ones."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import assert_eventually
from tests.system.daemon import Daemon, name_owner
from tests.system.namespace import PYTHON
from tests.system.people import Completed
from tests.system.program import Program
from tests.system.test_lifecycle import CONFIG_WRONG

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
BUDGET = "[budgets.machine]\nday_usd = 1\n"


def closed_directory(place: Path) -> Path:
    shutil.move(place / "config.toml", place / "conf.d/config.toml")
    (place / "conf.d").rename(place / "cortexd")
    (place / "cortexd").chmod(0)
    (place / "config.toml").symlink_to("cortexd/config.toml")
    return place / "config.toml"


def closed_conf_d(place: Path) -> Path:
    os.chown(place / "conf.d", 0, 0)
    return place / "conf.d"


def conf_d_as_a_file(place: Path) -> Path:
    shutil.rmtree(place / "conf.d")
    (place / "conf.d").write_text(BUDGET)
    return place / "conf.d"


def closed_file(place: Path) -> Path:
    file = place / "conf.d/60-budgets.toml"
    file.write_text(BUDGET)
    file.chmod(0o600)  # root's
    return file


def dangling_file(place: Path) -> Path:
    file = place / "conf.d/60-budgets.toml"
    file.symlink_to("/srv/settings/budgets.toml")
    return file


def looping_file(place: Path) -> Path:
    (place / "config.toml").unlink()
    (place / "config.toml").symlink_to("config.toml")
    return place / "config.toml"


def pipe(place: Path) -> Path:
    os.mkfifo(place / "conf.d/60-budgets.toml")
    return place / "conf.d/60-budgets.toml"


def device(place: Path) -> Path:
    (place / "conf.d/60-budgets.toml").symlink_to("/dev/zero")
    return place / "conf.d/60-budgets.toml"


def another_users_file(place: Path) -> Path:
    file = place / "conf.d/60-budgets.toml"
    file.write_text(BUDGET)
    os.chown(file, pwd.getpwnam("alice").pw_uid, -1)
    return file


def file_for_everybody(place: Path) -> Path:
    (place / "config.toml").chmod(0o666)
    return place / "config.toml"


def directory_for_everybody(place: Path) -> Path:
    (place / "conf.d").chmod(0o777)
    return place / "conf.d"


BREAKS = (
    closed_directory,
    closed_conf_d,
    conf_d_as_a_file,
    closed_file,
    dangling_file,
    looping_file,
    pipe,
    device,
    another_users_file,
    file_for_everybody,
    directory_for_everybody,
)


class TestStart:
    @pytest.mark.parametrize("break_it", BREAKS)
    def test_what_cannot_be_read(self, daemon: MakeDaemon, break_it: Callable[[Path], Path]) -> None:
        """It leaves with status 78 and the path before it serves anybody without the budgets that stand there."""
        running = daemon(start=False)
        path = break_it(running.directory)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG, running.log()
        [line] = running.log().splitlines()
        assert line.startswith("<2>cortexd: the configuration cannot be used: ")
        assert str(path) in line
        assert name_owner() is None

    def test_every_problem_has_a_line(self, daemon: MakeDaemon) -> None:
        """The log tells all that is to be mended at once, each with file, setting and range."""
        running = daemon("[limits]\nmax_tools = 0\n[ledger]\nkeep_days = 4000000\n", start=False)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG
        lines = running.log().splitlines()
        assert [line.partition("50-test.toml: ")[2].split(":")[0] for line in lines] == [
            "limits.max_tools",
            "ledger.keep_days",
        ]

    def test_a_plain_address(self, daemon: MakeDaemon) -> None:
        """Keys do not cross the network as plain text unless the provider says `insecure`."""
        plain = '[providers.claude]\nbase_url = "http://192.0.2.1:8000"\n'
        running = daemon(plain, start=False)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG
        assert "50-test.toml: providers.claude.base_url: " in running.log()
        running.configure(plain + "insecure = true\n")
        running.start()
        assert name_owner() == running.pid


class TestReload:
    @pytest.mark.parametrize("break_it", [closed_conf_d, dangling_file, pipe, another_users_file])
    async def test_what_cannot_be_read(self, daemon: MakeDaemon, break_it: Callable[[Path], Path]) -> None:
        """The old settings hold, budgets included."""
        running = daemon(BUDGET)
        path = break_it(running.directory)
        running.reload()
        assert_eventually(lambda: f"the configuration stays as it was: {path}" in running.log(), message="a refusal")
        async with await Program.open() as program:
            assert (await program.complete("user_chat", "hello")).content
        assert name_owner() == running.pid


class TestCheckConfig:
    def test_prints_each_problem(self, as_user: AsUser, namespace: Path) -> None:
        """A line each with file, setting and reason, and no password."""
        path = namespace / "problems" / "config.toml"
        path.parent.mkdir()
        path.write_text(
            '[providers.claude]\nbase_url = "https://user:hunter2@llm.example"\ntimeout_s = -1\n'
            '[network]\nproxy = "socks5://me:hunter2@proxy"\n[daemon]\nidle_exit_s = nan\n'
        )
        done = as_user("cortexd", [PYTHON, "-m", "cortexd", "--check-config", "--config", str(path)])
        assert done.returncode == CONFIG_WRONG
        assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
            ["cortexd", str(path), setting]
            for setting in (
                "providers.claude.base_url",
                "providers.claude.timeout_s",
                "network.proxy",
                "daemon.idle_exit_s",
            )
        ]
        assert "hunter2" not in done.stderr

    def test_cortexctl_does_too(self, as_user: AsUser, namespace: Path) -> None:
        """`cortexctl config check` says the same lines."""
        path = namespace / "checked-by-cortexctl" / "config.toml"
        path.parent.mkdir()
        path.write_text("[limits]\nmax_tools = 0\n[cache]\nttl_s = 0\n")
        done = as_user("alice", [PYTHON, "-m", "cortexd.cli", "config", "check", "--config", str(path)])
        assert done.returncode == 1
        assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
            ["cortexctl", str(path), setting] for setting in ("limits.max_tools", "cache.ttl_s")
        ]
