"""A provider's name leads to its own key and to no other's."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.config import Config, load_config, with_keys
from cortexd.config.defaults import PROVIDERS
from cortexd.config.names import credential_files, fault_of_name, taken_names
from cortexd.errors import ConfigError

CRAFTED = (
    "keys_claude",
    "keys-claude",
    "KEYS_claude",
    "keys_keys_claude",
    "../claude",
    "..",
    ".",
    "/etc/shadow",
    "a/b",
    "a\\u0000b",
    "a b",
    "clàude",
    "",
    "-",
    "__",
    "a.b",
    "a\\nb",
    "claude\\n",
    "x" * 65,
)
NAMES = st.text(st.sampled_from("aAkKeysS_-./0"), min_size=1, max_size=8) | st.sampled_from(
    ["keys_a", "a", "A", "keys_keys_a", "a-b", "a_b", "keys"]
)


def provider(name: str) -> str:
    return f'[providers."{name}"]\napi = "openai"\nbase_url = "https://llm.example"\nmodel = "m"\n'


def load(directory: Path, text: str) -> Config:
    (directory / "config.toml").write_text(text)
    return load_config(directory / "config.toml")


class TestNames:
    @pytest.mark.parametrize("name", CRAFTED)
    def test_crafted(self, tmp_path: Path, name: str) -> None:
        """What could mean another's credential, or another directory, is no name."""
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, provider(name))
        [problem] = caught.value.problems
        assert problem.reason.startswith("expected a name")

    @pytest.mark.parametrize("name", ["kimi-k2", "KIMI_K2", "Claude", "clAude"])
    def test_too_much_like_another(self, tmp_path: Path, name: str) -> None:
        """Names that differ by case, '-' and '_' alone would be mistaken for each other by whoever sets a key."""
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, provider(name))
        [problem] = caught.value.problems
        assert problem.key == f"providers.{name}"
        assert problem.file == str(tmp_path / "config.toml")

    @given(st.lists(NAMES, max_size=8, unique=True))
    def test_no_two_share_a_credential(self, names: list[str]) -> None:
        """Of any names that a configuration can hold at once, each has credential files of its own."""
        accepted = [name for name in names if not fault_of_name(name)]
        held = [name for name in accepted if name not in taken_names(accepted)]
        for one, other in combinations(held, 2):
            assert not set(credential_files(one)) & set(credential_files(other))
            assert len({one.lower().replace("-", "_"), other.lower().replace("-", "_")}) == 2
        assert all("/" not in file and file not in (".", "..") for name in held for file in credential_files(name))

    def test_each_gets_its_own(self, tmp_path: Path) -> None:
        """With the credentials of all built-in providers at hand, and a new one's, nobody gets another's."""
        config = load(tmp_path, provider("office") + provider("keys"))
        for name in config.providers:
            (tmp_path / f"keys_{name}").write_text(f"sk-{name}")
        found = with_keys(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).providers
        assert {name: item.key and item.key.reveal() for name, item in found.items()} == {
            name: f"sk-{name}" for name in found
        }
        (tmp_path / "keys_office").unlink()
        assert not with_keys(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).providers["office"].configured

    def test_no_name_means_a_variable(self, tmp_path: Path) -> None:
        """Variables are those that `key_variable` names: a provider's name alone leads to none."""
        config = load(tmp_path, provider("ANTHROPIC_API_KEY") + provider("office"))
        environ = {"ANTHROPIC_API_KEY": "sk-claude", "OFFICE_API_KEY": "sk-1", "office": "sk-2", "OFFICE": "sk-3"}
        found = with_keys(config, environ).providers
        assert [name for name, item in found.items() if item.configured] == ["claude"]

    def test_built_in_variables_differ(self) -> None:
        """Each built-in provider has a variable of its own."""
        variables = [settings.key_variable for settings in PROVIDERS]
        assert len(set(variables)) == len(variables)

    @pytest.mark.parametrize("variable", ["", "A B", "A=B", "1A", "A-B", "A\\u0000", "$A"])
    def test_what_is_no_variable(self, tmp_path: Path, variable: str) -> None:
        """`key_variable` is the name of one."""
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, f'[providers.claude]\nkey_variable = "{variable}"\n')
        assert caught.value.problems[0].key == "providers.claude.key_variable"
