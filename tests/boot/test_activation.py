"""What cortexctl says where the bus cannot start cortexd: the true cause, the same on dbus-daemon and dbus-broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.boot.calls import version
from tests.boot.machine import Machine

NO_DAEMON = 4
_UNIT = "cortex-llm-router.service"
_FILE = f"/usr/lib/systemd/system/{_UNIT}"
_SETTINGS = "/etc/cortexd/conf.d/90-wrong.toml"
_DROP_IN = f"/run/systemd/system/{_UNIT}.d/fails.conf"


@contextmanager
def changed(machine: Machine, change: str, back: str) -> Iterator[None]:
    """The shell's `change` while cortexd is stopped, until `back`."""
    machine.run("systemctl", "stop", _UNIT)
    machine.run("sh", "-c", change)
    try:
        yield
    finally:
        machine.run("sh", "-c", f"{back}; systemctl daemon-reload; systemctl reset-failed {_UNIT}", check=False)


_CASES = {
    "masked": (
        f"systemctl mask --runtime {_UNIT}",
        f"systemctl unmask --runtime {_UNIT}",
        f"An administrator has masked {_UNIT}: sudo systemctl unmask {_UNIT}",
    ),
    "no unit": (
        f"mv {_FILE} /root && systemctl daemon-reload",
        f"mv /root/{_UNIT} {_FILE}",
        f"There is no {_UNIT}: install the package cortexd, or run: sudo cortexctl service install",
    ),
    "wrong settings": (
        f"echo 'wrong' > {_SETTINGS}",
        f"rm {_SETTINGS}",
        f"{_UNIT} failed (exit-code, status 78): journalctl -u {_UNIT} -b says why",
    ),
}
_ENDS_AT_ONCE = f"""
mkdir -p {_DROP_IN.rpartition("/")[0]}
printf '[Service]\\nExecStart=\\nExecStart=/bin/true\\n' > {_DROP_IN}
systemctl daemon-reload
"""


class TestNotStarted:
    @pytest.mark.parametrize(("change", "back", "cause"), _CASES.values(), ids=_CASES)
    def test_true_cause(self, installed: Machine, change: str, back: str, cause: str) -> None:
        """status and ask end with 4 and name it, for root and for others; mended, the next call works."""
        with changed(installed, change, back):
            status = installed.run("cortexctl", "status", check=False)
            asked = installed.run("cortexctl", "ask", "Hello", user="alice", check=False)
        said = f"cortexctl: cortexd is not running. {cause}\n"
        assert (status.status, status.stderr) == (NO_DAEMON, said)
        assert (asked.status, asked.stderr) == (NO_DAEMON, said)
        assert version(installed)

    def test_again_and_again(self, installed: Machine) -> None:
        """A daemon that ends before it is there, even with success, is no answer either."""
        with changed(installed, _ENDS_AT_ONCE, f"rm {_DROP_IN}"):
            asked = installed.run("cortexctl", "ask", "Hello", user="alice", check=False)
        cause = f"{_UNIT} fails and is started again and again: journalctl -u {_UNIT} -b says why"
        assert (asked.status, asked.stderr) == (NO_DAEMON, f"cortexctl: cortexd is not running. {cause}\n")
