"""The fleet's time zone: days and months begin by it, whatever zone the machine is in."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import literal, select

from cortexd.accounts.limits import period_end
from cortexd.config import load_config
from cortexd.config.zone import adopt_zone, local_zone
from cortexd.errors import ConfigError
from cortexd.ledger import Ledger, Period
from cortexd.ledger.engines import place_of
from cortexd.ledger.writing.rows import day_of
from tests.unit.test_ledger_parts import at, request, settings


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.fixture
def berlin(time_zone: Callable[[str], None]) -> None:
    """Berlin's days on a machine in New York."""
    time_zone("America/New_York")
    adopt_zone("Europe/Berlin")


@pytest.mark.usefixtures("berlin")
class TestDays:
    @pytest.mark.parametrize(
        ("moment", "day"),
        [
            ("2026-03-29T21:59:59", "2026-03-29"),  # summer time began that night: midnight is at 22:00 UTC
            ("2026-03-29T22:00:00", "2026-03-30"),
            ("2026-10-25T22:59:59", "2026-10-25"),  # and ended here: at 23:00 UTC
            ("2026-10-25T23:00:00", "2026-10-26"),
            ("2026-12-31T23:00:00", "2027-01-01"),
        ],
    )
    def test_begin_at_its_midnight(self, moment: str, day: str) -> None:
        """A request belongs to the day that it is in Berlin when it is made."""
        assert day_of(request(started_at=utc(moment))) == day

    @pytest.mark.parametrize(
        ("period", "moment", "end"),
        [
            (Period.DAY, "2026-03-28T23:30:00", "2026-03-29T22:00:00"),  # a day of 23 hours
            (Period.DAY, "2026-10-24T22:30:00", "2026-10-25T23:00:00"),  # and one of 25
            (Period.MONTH, "2026-10-31T22:59:00", "2026-10-31T23:00:00"),
            (Period.MONTH, "2026-10-31T23:00:00", "2026-11-30T23:00:00"),
        ],
    )
    def test_end_limits_at_its_midnight(self, period: Period, moment: str, end: str) -> None:
        """A budget begins anew at Berlin's midnight, also where clocks change that day."""
        assert period_end(period, utc(moment)) == utc(end)

    @pytest.mark.usefixtures("engine")
    async def test_hours_are_its_own(self, tmp_path: Path, path: Path) -> None:
        """Reports by the hour go by it, whichever database adds up."""
        await (await Ledger.open(settings(tmp_path))).close()
        place = place_of(at(path))
        with place.reading() as connection:
            hour = place.engine.local_hour(literal(datetime(2026, 7, 1, 22, 30)))
            assert connection.scalar(select(hour)) == "2026-07-02T00"
        assert local_zone() == "Europe/Berlin"


class TestSetting:
    def test_none_leaves_the_machines(self, time_zone: Callable[[str], None]) -> None:
        time_zone("Asia/Tokyo")
        adopt_zone("")
        assert os.environ["TZ"] == "Asia/Tokyo"

    @pytest.mark.parametrize(
        "name", ["Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "Europe", "CET-1\\n", "x" * 300]
    )
    def test_that_is_none_is_refused(self, tmp_path: Path, name: str) -> None:
        """A name that the C library would take for UTC without a word is told when the settings are read."""
        file = tmp_path / "config.toml"
        file.write_text(f'[ledger]\ntime_zone = "{name}"\n')
        with pytest.raises(ConfigError) as refused:
            load_config(file)
        [problem] = refused.value.problems
        assert problem.key == "ledger.time_zone"

    @pytest.mark.parametrize("name", ["", "UTC", "Europe/Berlin", "Asia/Kathmandu"])
    def test_that_is_known_is_taken(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / "config.toml"
        file.write_text(f'[ledger]\ntime_zone = "{name}"\n')
        assert load_config(file).ledger.time_zone == name
