"""Where the ledger lies: an address without its password, over TLS unless it is on this machine."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import credentials, ledger_with_password, load_config, with_keys
from cortexd.config.ledger_address import ledger_address, with_defaults
from cortexd.config.problems import Expectation
from cortexd.errors import ConfigError

DB = "postgresql+psycopg://cortexd@db.example.org/cortexd"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return write


class TestAddress:
    @pytest.mark.parametrize(
        "address",
        [
            "",
            DB,
            f"{DB}?sslmode=verify-ca&sslrootcert=/etc/cortexd/db.pem",
            "postgresql+psycopg://cortexd@127.0.0.1:5433/cortexd?sslmode=disable",
            "postgresql+psycopg://cortexd@/cortexd?host=/run/postgresql",
            "postgresql+psycopg:///cortexd",
        ],
    )
    def test_is_taken_as_it_is(self, address: str) -> None:
        """Other hosts with TLS, this machine with or without it, a Unix socket."""
        assert ledger_address(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            1,
            "cortexd",
            "postgresql://cortexd@db.example.org/cortexd",
            "postgresql+psycopg://cortexd@db.example.org",
            "postgresql+psycopg://cortexd:secret@db.example.org/cortexd",
            "postgresql+psycopg://cortexd:@db.example.org/cortexd",
            f"{DB}?password=secret",
            f"{DB}?sslmode=disable",
            f"{DB}?sslmode=require",
            f"{DB}?host=/run/postgresql,db.example.org&sslmode=prefer",
            f"{DB}?options=-csearch_path%3Dother",
            "postgresql+psycopg://cortexd@db.example.org:99999/cortexd",
        ],
    )
    def test_is_refused_where_it_is_unsafe_or_none(self, address: object) -> None:
        """A password in it, a host without verified TLS, options that nobody looked at, what is no address."""
        with pytest.raises(Expectation) as refused:
            ledger_address(address)
        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize(
        "address",
        [
            "postgresql+psycopg://cortexd:secret@db.example.org/cortexd",
            f"{DB}?password=secret",
            f"{DB}?sslmode=disable&pass%77ord=secret",
            f"{DB}?secret",
        ],
    )
    def test_never_shows_a_password(self, write: Write, address: str) -> None:
        """Not even where it is refused for it, or where somebody has put it into an option; the host is shown."""
        with pytest.raises(ConfigError) as refused:
            load_config(write(f'[ledger]\nurl = "{address}"\n'))
        assert "secret" not in str(refused.value)
        assert "db.example.org" in str(refused.value)
        [problem] = refused.value.problems
        assert problem.key == "ledger.url"

    def test_verifies_who_answers_elsewhere(self) -> None:
        """Without a word on TLS another host's certificate is checked, name and all; nothing is asked of a socket."""
        given = parse_qs(urlsplit(with_defaults(DB)).query)
        assert given["sslmode"] == ["verify-full"]
        assert "sslrootcert" in given
        assert parse_qs(urlsplit(with_defaults("postgresql+psycopg:///cortexd?host=/run/pg")).query) == {
            "host": ["/run/pg"]
        }


class TestPassword:
    def test_comes_from_a_credential(self, write: Write, tmp_path: Path) -> None:
        """systemd's first, then the file that is named; none without either."""
        own = tmp_path / "password"
        own.write_text("of-the-file\n")
        own.chmod(0o600)
        config = load_config(write(f'[ledger]\nurl = "{DB}"\npassword_file = "{own}"\n'))
        (tmp_path / "credentials").mkdir()
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
        password = with_keys(config, environ).ledger.password
        assert password is not None
        assert password.reveal() == "of-the-file"
        (tmp_path / "credentials" / "keys_ledger_password").write_text("of-systemd")
        password = with_keys(config, environ).ledger.password
        assert password is not None
        assert password.reveal() == "of-systemd"
        assert "of-systemd" not in repr(with_keys(config, environ))
        assert with_keys(load_config(write(f'[ledger]\nurl = "{DB}"\n')), {}).ledger.password is None

    def test_is_found_by_tools(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Outside the service it is read where the unit has it from, and no provider's key is."""
        monkeypatch.setattr(credentials, "UNIT_CREDENTIALS", tmp_path)
        config = load_config(write(f'[ledger]\nurl = "{DB}"\n'))
        assert ledger_with_password(config, {}).password is None
        (tmp_path / "claude").write_text("two words")
        (tmp_path / "ledger_password").write_text("of-the-unit\n")
        password = ledger_with_password(config, {}).password
        assert password is not None
        assert password.reveal() == "of-the-unit"

    def test_is_no_setting(self, write: Write) -> None:
        """Who writes it into the file learns that it is none."""
        with pytest.raises(ConfigError) as refused:
            load_config(write('[ledger]\npassword = "secret"\n'))
        assert "secret" not in str(refused.value)

    def test_is_no_providers_key(self, write: Write) -> None:
        """No provider may have its name."""
        table = '[providers.ledger-password]\napi = "openai"\nbase_url = "https://x.example/v1"\nmodel = "m"\n'
        with pytest.raises(ConfigError):
            load_config(write(table))


class TestShown:
    def test_round_trips(self, write: Write, tmp_path: Path) -> None:
        """What cortexctl shows of it means the same again, the user's name with it, and has no password."""
        own = tmp_path / "password"
        own.write_text("hunter2")
        own.chmod(0o600)
        config = with_keys(load_config(write(f'[ledger]\nurl = "{DB}"\npassword_file = "{own}"\n')), {})
        shown = settings_as_toml(config)
        assert tomllib.loads(shown)["ledger"]["url"] == DB
        assert "hunter2" not in shown
        again = load_config(write(shown))
        assert with_keys(again, {}).ledger == config.ledger
