"""A fleet's settings on one machine: above its own files, of what machines have in common, and nothing else."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import load_config
from cortexd.config.fleet import MAX_TEXT_BYTES, as_kept, kept_at, revision_in
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
OWN = """
[ledger]
url = "postgresql+psycopg:///cortexd"
path = "{state}/ledger.sqlite3"
[budgets]
machine = {{ day_usd = "9.00", month_usd = "90.00" }}
[providers.own]
api = "openai"
base_url = "http://127.0.0.1:8000/v1"
model = "m"
"""
COMMON = """
[budgets]
machine = { day_usd = "5.00" }
[routing]
default_provider = "own"
[privacy]
secrets = "redact"
[providers.own]
rate = { input_usd_per_million = "0.5", output_usd_per_million = "1" }
"""


def revision(text: str, number: int = 4) -> Revision:
    return Revision(number, datetime.now(UTC), "cortexd_admin", "ann@desk", "", text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The file of a machine that shares a ledger."""
    (tmp_path / "state").mkdir()
    file = tmp_path / "config.toml"
    file.write_text(OWN.format(state=tmp_path / "state"))
    return file


class TestRevision:
    def test_stands_above_the_machines_files(self, own: Path) -> None:
        """What it names holds, amount by amount; what it does not name stays the machine's."""
        config = load_config(own, revision(COMMON))
        assert (config.budgets.machine.day_usd, config.budgets.machine.month_usd) == ("5.00", "90.00")
        assert config.routing.default_provider == "own"
        assert config.privacy.secrets == "redact"
        rate = config.providers["own"].rate
        assert rate is not None
        assert rate.output_usd_per_million == "1"

    def test_is_found_where_the_machine_keeps_it(self, own: Path) -> None:
        """The next start has it with no database; a newer one is read in its place."""
        kept = kept_at(load_config(own).ledger)
        assert kept is not None
        kept.write_text(as_kept(revision(COMMON, 17)))
        config = load_config(own)
        assert (revision_in(config), config.privacy.secrets) == (17, "redact")
        assert config.sources == (own, kept)
        assert str(kept) in settings_as_toml(config)
        assert load_config(own, revision("", 18)).privacy.secrets == "off"

    def test_is_nothing_to_a_machine_alone(self, own: Path) -> None:
        """Who keeps a ledger in a file has left the fleet, and its settings."""
        kept = kept_at(load_config(own).ledger)
        assert kept is not None
        kept.write_text(as_kept(revision(COMMON)))
        own.write_text(own.read_text().replace("\nurl =", "\n#"))
        assert revision_in(load_config(own)) == 0
        assert load_config(own).privacy.secrets == "off"

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('[ledger]\nurl = "postgresql+psycopg:///other"', "ledger"),
            ("[network]\nproxy = 'http://elsewhere:3128'", "network"),
            ('[metrics]\ntextfile = "/tmp/x"', "metrics"),
            ("[limits]\nmax_tools = 3", "limits"),
            ('[providers.own]\nbase_url = "https://elsewhere.example/v1"', "providers.own.base_url"),
            ('[providers.own]\nkey_file = "/root/key"', "providers.own.key_file"),
            ('[[providers.own.replicas]]\nbase_url = "https://elsewhere.example/v1"', "providers.own.replicas"),
            ("[providers.new]\nrate = 3", "providers.new"),
            ('[budgets]\nmachine = { day_usd = "much" }', "budgets.machine.day_usd"),
            ('[routing]\ndefault_provider = "elsewhere"', "routing.default_provider"),
            ("[budget]", "budget"),
            ("budgets = 3", "budgets"),
            ("[budgets", ""),
            ("#" * (MAX_TEXT_BYTES + 1), ""),
        ],
    )
    def test_is_refused_as_a_whole(self, own: Path, text: str, key: str) -> None:
        """Where it says what is a machine's own, or what would be refused in a file, with the place."""
        with pytest.raises(ConfigError) as refused:
            load_config(own, revision(text))
        assert {problem.key for problem in refused.value.problems} == {key}
        assert all("revision 4" in problem.file for problem in refused.value.problems)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
    def test_is_not_everybodys_to_read(self, own: Path) -> None:
        """Whoever may not look into cortexd's directory learns how to, and is not told of other settings."""
        own.parent.joinpath("state").chmod(0o700)
        for directory in (own.parent, *own.parent.parents[:2]):
            directory.chmod(0o755)
        load_config(own)
        os.seteuid(65534)
        try:
            with pytest.raises(ConfigError, match="try again with sudo"):
                load_config(own)
        finally:
            os.seteuid(0)

    def test_that_is_kept_is_no_file_of_others(self, own: Path) -> None:
        """Nobody but the daemon may have written what is kept."""
        kept = kept_at(load_config(own).ledger)
        assert kept is not None
        kept.write_text(as_kept(revision(COMMON)))
        kept.chmod(0o666)
        with pytest.raises(ConfigError):
            load_config(own)


def test_the_guides_fleet(tmp_path: Path) -> None:
    """A machine that is set up as the guide says takes the revision that it shows."""
    guide = (ROOT / "docs" / "fleet-guide.md").read_text("utf-8")
    machine, text = re.findall(r"^```toml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    file = tmp_path / "config.toml"
    file.write_text(machine.replace("[ledger]", f'[ledger]\npath = "{tmp_path}/ledger.sqlite3"'))
    config = load_config(file, revision(text))
    assert config.budgets.groups["physics"].month_usd == "1200"
    assert config.routing.default_provider == "gpu"
