"""`auth_header` and `headers` of a provider: what may be set, and that no text shows a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import Config, load_config
from cortexd.config.headers import MAX_HEADERS, MAX_VALUE
from cortexd.errors import ConfigError

VALUE = "tell-nobody-0123"


def read(directory: Path, text: str, more: str = "") -> Config:
    (directory / "conf.d").mkdir(exist_ok=True)
    (directory / "config.toml").write_text(f"[providers.claude]\n{text}\n")
    (directory / "conf.d/10.toml").write_text(more)
    return load_config(directory / "config.toml")


def table(*pairs: str) -> str:
    return f"headers = {{ {', '.join(pairs)} }}"


def revealed(config: Config) -> dict[str, str]:
    return {name: value.reveal() for name, value in config.providers["claude"].headers.items()}


class TestTaken:
    def test_both(self, tmp_path: Path) -> None:
        """The key's header by name, others by name and value; other providers have none."""
        others = table(f'X-Team = "{VALUE}"', "x-route = 'a b;c=\"d\"'")
        config = read(tmp_path, f'auth_header = "x-api-key"\n{others}')
        assert config.providers["claude"].auth_header == "x-api-key"
        assert revealed(config) == {"X-Team": VALUE, "x-route": 'a b;c="d"'}
        assert config.providers["kimi_k2"].auth_header is None
        assert config.providers["kimi_k2"].headers == {}

    def test_later_table_replaces(self, tmp_path: Path) -> None:
        """A later file's table stands in place of an earlier one, so that it can take a header away."""
        config = read(tmp_path, table(f"X-Team = '{VALUE}'"), "[providers.claude]\nheaders = { X-Other = '1' }\n")
        assert revealed(config) == {"X-Other": "1"}

    @pytest.mark.parametrize("name", ["x-api-key", "api-key", "X_Key", "a" * 64, "!#$%&'*+.^_`|~-09"])
    def test_names(self, tmp_path: Path, name: str) -> None:
        """Every token is a name."""
        assert revealed(read(tmp_path, table(f'"{name}" = "{VALUE}"'))) == {name: VALUE}
        assert read(tmp_path, f'auth_header = "{name}"').providers["claude"].auth_header == name

    def test_most(self, tmp_path: Path) -> None:
        """Sixteen headers of 1024 characters."""
        pairs = [f'X-{number} = "{"v" * MAX_VALUE}"' for number in range(MAX_HEADERS)]
        assert len(revealed(read(tmp_path, table(*pairs)))) == MAX_HEADERS

    def test_is_not_shown(self, tmp_path: Path) -> None:
        """`cortexctl config show` has the names, and no structure's text has a value."""
        config = read(tmp_path, table(f"X-Team = '{VALUE}'"))
        shown = settings_as_toml(config)
        assert '\n[providers.claude.headers]\nX-Team = "(hidden)"' in shown
        assert VALUE not in shown + repr(config) + str(config)


TAKEN = (
    *("Host", "content-length", "Content-Type", "connection", "TE", "Transfer-Encoding", "upgrade", "Keep-Alive"),
    *("Trailer", "Proxy-Authorization", "proxy-connection", "Authorization", "cookie", "Accept-Encoding", "Expect"),
    "Anthropic-Version",
)
NO_NAMES = ("", "two words", "x:y", "x\\ny", "ümlaut", "x\\u0000", "a" * 65, "(x)", "x/y", "x@y")
NO_VALUES = (
    *('""', '" "', f'" {VALUE}"', f'"{VALUE} "', f'"{VALUE}\\n"', f'"{VALUE}\\r\\nX-Evil: 1"', f'"{VALUE}\\t"'),
    *(f'"{VALUE}ü"', f'"{VALUE}\\u0000"', f'"{VALUE * 100}"', "1", "true", f'["{VALUE}"]', f'{{ a = "{VALUE}" }}'),
)


class TestRefused:
    def refusal(self, directory: Path, text: str) -> str:
        """The one problem, which names the file and shows no value."""
        with pytest.raises(ConfigError) as caught:
            read(directory, text)
        [problem] = caught.value.problems
        assert problem.file == str(directory / "config.toml")
        assert "tell-nobody" not in str(caught.value)
        assert "v" * 20 not in str(caught.value)
        return problem.key

    @pytest.mark.parametrize("name", TAKEN)
    def test_taken_name(self, tmp_path: Path, name: str) -> None:
        """What the connection, the body or cortexd itself says is nobody else's to say."""
        assert self.refusal(tmp_path, table(f'"{name}" = "{VALUE}"')) == f"providers.claude.headers.{name}"
        assert self.refusal(tmp_path, f'auth_header = "{name}"') == "providers.claude.auth_header"

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_no_name(self, tmp_path: Path, name: str) -> None:
        """A name that is no token."""
        assert self.refusal(tmp_path, table(f'"{name}" = "{VALUE}"')) == "providers.claude.headers"
        assert self.refusal(tmp_path, f'auth_header = "{name}"') == "providers.claude.auth_header"

    @pytest.mark.parametrize("value", NO_VALUES)
    def test_value(self, tmp_path: Path, value: str) -> None:
        """A value that is no visible ASCII text of a line, is too long, or no text."""
        assert self.refusal(tmp_path, table(f"X-Team = {value}")) == "providers.claude.headers.X-Team"

    @pytest.mark.parametrize("text", [f'"{VALUE}"', f'["{VALUE}"]', "1"])
    def test_no_table(self, tmp_path: Path, text: str) -> None:
        """Something else in place of the table."""
        assert self.refusal(tmp_path, f"headers = {text}") == "providers.claude.headers"

    def test_too_many(self, tmp_path: Path) -> None:
        """The seventeenth header."""
        pairs = [f'X-{number} = "{VALUE}"' for number in range(MAX_HEADERS + 1)]
        assert self.refusal(tmp_path, table(*pairs)) == "providers.claude.headers"

    def test_twice(self, tmp_path: Path) -> None:
        """One header in two spellings, and the key's own among the others."""
        twice = table(f'X-Team = "{VALUE}"', f'x-team = "{VALUE}"')
        assert self.refusal(tmp_path, twice) == "providers.claude.headers.x-team"
        also = 'auth_header = "X-API-Key"\n' + table(f'x-api-key = "{VALUE}"')
        assert self.refusal(tmp_path, also) == "providers.claude.headers"

    def test_key_in_the_file(self, tmp_path: Path) -> None:
        """No key becomes a header's name by mistake without being told where keys go."""
        assert self.refusal(tmp_path, f'api_key = "{VALUE}"') == "providers.claude.api_key"
