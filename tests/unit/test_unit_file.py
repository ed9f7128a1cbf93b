"""systemd's unit against the program that it runs."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from cortexd.daemon import run

UNIT = Path(__file__).parents[2] / "systemd/cortex-llm-router.service"
WRONG_OPTIONS = 2


def service() -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text("utf-8"))
    return dict(parser["Service"])


class TestRestart:
    def test_is_not_tried_where_it_can_mend_nothing(self) -> None:
        """After what only a person can mend; whatever else ends it may have passed a second later."""
        for_a_person = {WRONG_OPTIONS, run.BADLY_INSTALLED, run.LEDGER_UNUSABLE, run.CONFIG_WRONG}
        may_pass = {run.BUS_LOST, run.BUS_UNAVAILABLE, run.LEDGER_LATER}
        said = {int(word) for word in service()["RestartPreventExitStatus"].split()}
        assert said == for_a_person
        assert not said & may_pass
        assert service()["Restart"] == "on-failure"
