"""Presets: a provider in three lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.catalog import builtin_catalog
from cortexd.config import load_config
from cortexd.config.addresses import on_this_machine, parse_address
from cortexd.config.api_kinds import API_KINDS
from cortexd.config.names import fault_of_name
from cortexd.config.presets import BUILTIN, Preset, presets
from cortexd.domain.quirks import Quirk
from cortexd.errors import ConfigError

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "add-a-provider.md"
Read = Callable[..., object]
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    return tmp_path / "config.toml"


class TestEveryPreset:
    @pytest.mark.parametrize("preset", presets().values(), ids=lambda preset: preset.name)
    def test_is_a_provider_in_three_lines(self, path: Path, preset: Preset) -> None:
        """Whose address is a real one, of a known format; it is local where the address is this machine's."""
        path.write_text(f'[providers.mine]\npreset = "{preset.name}"\nmodel = "m"\n')
        mine = load_config(path).providers["mine"]
        assert (mine.preset, mine.model, mine.quirks) == (preset.name, "m", preset.quirks)
        assert set(preset.base_url) <= set(API_KINDS)
        assert fault_of_name(preset.name) == ""
        for address in preset.base_url.values():
            assert not preset.local or on_this_machine(parse_address(address).host)
            assert parse_address(address).scheme == "https" or on_this_machine(parse_address(address).host)
        assert preset.local or preset.key_variable or preset.name == "litellm"

    def test_speaks_what_it_says(self, path: Path) -> None:
        """`api` takes the address of that format; one that it does not speak needs an address of its own."""
        path.write_text('[providers.mine]\npreset = "deepseek"\napi = "anthropic"\n')
        mine = load_config(path).providers["mine"]
        assert (mine.api, mine.base_url) == ("anthropic", "https://api.deepseek.com/anthropic")
        path.write_text('[providers.mine]\npreset = "mistral"\napi = "anthropic"\n')
        with pytest.raises(ConfigError, match="preset 'mistral' speaks openai alone, and needs base_url and model"):
            load_config(path)

    def test_is_in_the_table_of_formats(self) -> None:
        """Of docs/add-a-provider.md, with the formats that it speaks, in their order."""
        rows = re.findall(r"^\| (`.+`) \| (`.+`) \|$", GUIDE.read_text("utf-8"), re.MULTILINE)
        told = [
            (name, re.findall(r"`(.+?)`", kinds)) for names, kinds in rows for name in re.findall(r"`(.+?)`", names)
        ]
        known = {preset.name: list(preset.base_url) for preset in presets().values()}
        assert {name: kinds for name, kinds in told if name in known} == known

    def test_builtin_ones_need_no_file(self, path: Path) -> None:
        """And say themselves which model answers."""
        path.write_text("")
        assert list(load_config(path).providers) == list(BUILTIN)
        assert all(presets()[name].model for name in BUILTIN)


class TestLocal:
    @pytest.mark.parametrize(
        ("more", "local"),
        [
            ("", True),
            ('base_url = "http://127.0.0.1:9/v1"', True),
            ('base_url = "https://gpu.example/v1"', False),
            ('base_url = "https://gpu.example/v1"\nlocal = true', True),
            ("local = false", False),
        ],
    )
    def test_an_address_elsewhere_is_not(self, path: Path, more: str, local: bool) -> None:
        """Private texts do not leave for a place that nobody called local; in one file or over two."""
        start = '[providers.mine]\npreset = "vllm"\nmodel = "m"\n'
        path.write_text(start + more)
        assert load_config(path).providers["mine"].local is local
        path.write_text(start)
        (path.parent / "conf.d/more.toml").write_text(f"[providers.mine]\n{more}\n")
        assert load_config(path).providers["mine"].local is local


class TestWhatIsKnown:
    def test_a_vendors_models_by_any_name(self, path: Path) -> None:
        """Prices and quirks come with the preset, whatever the provider is called."""
        path.write_text('[providers.work]\npreset = "kimi_k2"\n[providers.plain]\npreset = "openai"\nmodel = "gpt"\n')
        catalog = builtin_catalog().with_settings(load_config(path).providers)
        assert catalog.price("work", "kimi-k2.6", NOON, 10) is not None
        assert Quirk.WANTS_REASONING in catalog.quirks("work", "kimi-unknown")
        assert Quirk.MAX_COMPLETION_TOKENS in catalog.quirks("plain", "gpt")

    def test_quirks_of_all_models(self, path: Path) -> None:
        """Of the preset's, or those that the operator says instead."""
        start = '[providers.a]\npreset = "mistral"\nmodel = "m"\n'
        path.write_text(f'{start}[providers.b]\npreset = "mistral"\nmodel = "m"\nquirks = ["no_names"]\n')
        catalog = builtin_catalog().with_settings(load_config(path).providers)
        assert catalog.quirks("a", "whichever") == {Quirk.SHORT_IDS}
        assert catalog.quirks("b", "whichever") == {Quirk.NO_NAMES}

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('preset = "vlllm"\nmodel = "m"', "providers.mine.preset"),
            ("preset = 3", "providers.mine.preset"),
            ('preset = "vllm"', "providers.mine"),
            ('preset = "vllm"\nmodel = "m"\nquirks = ["shy"]', "providers.mine.quirks"),
        ],
    )
    def test_what_is_wrong_is_named(self, path: Path, text: str, key: str) -> None:
        """By its path, once."""
        path.write_text(f"[providers.mine]\n{text}\n")
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert [problem.key for problem in caught.value.problems] == [key]
