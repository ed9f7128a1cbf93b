"""Several endpoints behind one provider, as an administrator writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import load_config, with_keys
from cortexd.config.replicas import endpoints
from cortexd.errors import ConfigError

Write = Callable[..., Path]
TWO = """
[providers.office]
preset = "vllm"
model = "llama-9"
max_in_flight = 8
[[providers.office.replicas]]
base_url = "http://127.0.0.1:8001/v1"
[[providers.office.replicas]]
base_url = "https://gpu.example/v1"
weight = 2
max_in_flight = 64
key_variable = "GPU_KEY"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "config.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


class TestReplicas:
    def test_what_each_takes_over(self, write: Write) -> None:
        """The limit of the provider, but its own where it has one; no address beside them is needed."""
        office = load_config(write(TWO)).providers["office"]
        assert [(item.weight, item.max_in_flight) for item in office.replicas] == [(1.0, 8), (2.0, 64)]
        assert office.base_url == "http://127.0.0.1:8001/v1"
        assert [end.base_url for end in endpoints(office)] == [item.base_url for item in office.replicas]

    def test_a_provider_is_local_where_all_are(self, write: Write) -> None:
        """A preset for servers of one's own makes local what is on this machine, and nothing else."""
        office = load_config(write(TWO)).providers["office"]
        assert [item.local for item in office.replicas] == [True, False]
        assert (office.local, office.has_local) == (False, True)
        said = TWO.replace('model = "llama-9"', 'model = "llama-9"\nlocal = true')
        assert load_config(write(said)).providers["office"].local

    def test_keys(self, write: Write, tmp_path: Path) -> None:
        """One that names a key has that one or none; the others have the provider's."""
        config = load_config(write(TWO))
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        (tmp_path / "keys_office").write_text("of-the-office")
        plain = with_keys(config, environ).providers["office"]
        assert [item.key.reveal() if item.key else None for item in endpoints(plain)] == ["of-the-office", None]
        own = with_keys(config, {**environ, "GPU_KEY": "of-the-gpu"}).providers["office"]
        assert [item.key.reveal() if item.key else None for item in endpoints(own)] == ["of-the-office", "of-the-gpu"]
        named = load_config(write(TWO.replace("key_variable", "credential").replace("GPU_KEY", "gpu")))
        (tmp_path / "keys_gpu").write_text("by-name")
        assert with_keys(named, environ).providers["office"].replicas[1].key.reveal() == "by-name"  # type: ignore[union-attr]

    def test_it_is_configured_where_one_can_be_asked(self, write: Write) -> None:
        """An endpoint elsewhere without a key is none."""
        text = TWO.replace("http://127.0.0.1:8001/v1", "https://other.example/v1")
        assert not load_config(write(text)).providers["office"].configured
        assert load_config(write(TWO)).providers["office"].configured

    def test_shown_settings_mean_the_same(self, write: Write) -> None:
        """What `cortexctl config show` prints of them reads back as it was."""
        config = load_config(write(TWO))
        again = load_config(write(settings_as_toml(config), "again.toml"))
        assert again.providers == config.providers

    def test_a_later_file_replaces_the_list(self, write: Write, tmp_path: Path) -> None:
        """Also by none."""
        (tmp_path / "conf.d").mkdir()
        file = write(TWO)
        write('[providers.office]\nreplicas = [{ base_url = "http://127.0.0.1:9/v1" }]', "conf.d/1.toml")
        assert [item.base_url for item in load_config(file).providers["office"].replicas] == ["http://127.0.0.1:9/v1"]
        write("[providers.office]\nreplicas = []", "conf.d/2.toml")
        assert load_config(file).providers["office"].replicas == ()


class TestRefusals:
    @pytest.mark.parametrize(
        ("before", "after", "key"),
        [
            ('base_url = "https://gpu.example/v1"\n', "", "replicas[1]"),
            ("https://gpu.example/v1", "http://127.0.0.1:8001/v1", "replicas"),
            ("https://gpu.example/v1", "HTTP://127.0.0.1:08001/v1/", "replicas"),
            ("https://gpu.example/v1", "http://gpu.example/v1", "replicas"),
            ("https://gpu.example/v1", "ftp://gpu.example/v1", "replicas[1].base_url"),
            ("weight = 2", "weight = 0", "replicas[1].weight"),
            ("weight = 2", "wait = 2", "replicas[1].wait"),
            ('key_variable = "GPU_KEY"', 'key = "sk-secret"', "replicas[1].key"),
            ('key_variable = "GPU_KEY"', 'credential = "../x"', "replicas[1].credential"),
            ('preset = "vllm"', 'preset = "vllm"\nbase_url = "https://third.example/v1"', "base_url"),
        ],
        ids=[
            "no-address",
            "twice",
            "twice-otherwise-written",
            "in-clear",
            "scheme",
            "weight",
            "unknown",
            "key",
            "credential",
            "stray",
        ],
    )
    def test_each_names_its_place(self, write: Write, before: str, after: str, key: str) -> None:
        """File, setting and what was expected; a key is never shown."""
        assert before in TWO
        with pytest.raises(ConfigError) as caught:
            load_config(write(TWO.replace(before, after)))
        [problem] = caught.value.problems
        assert problem.key == f"providers.office.{key}"
        assert "sk-secret" not in str(problem)
