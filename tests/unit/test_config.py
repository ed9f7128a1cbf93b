"""Configuration files, keys, and the errors that name file, key and expectation."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Protocol

import pytest

from cortexd.config import Config, builtin_config, how_to_configure, load_config, with_keys
from cortexd.config.settings import BudgetSettings, LimitUsd, ModelSettings, ProviderSettings, RateSettings, Secret
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "config.toml.example"


class Write(Protocol):
    """Writes a file of the configuration; the path is the main file's."""

    def __call__(self, text: str, name: str = ...) -> Path: ...


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "config.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return tmp_path / "config.toml"

    return write


class TestLoad:
    def test_defaults_route_as_the_specification_says(self) -> None:
        """Chat and requirement parsing go to claude, the other six task types to kimi_k2."""
        table = builtin_config().routing.table
        assert table[TaskType.USER_CHAT] == table[TaskType.REQUIREMENT_PARSING] == (Target("claude"),)
        assert [task for task, row in table.items() if row == (Target("kimi_k2"),)] == list(TaskType)[2:]

    def test_later_files_stand_above_earlier_ones(self, write: Write) -> None:
        """conf.d overrides config.toml key by key, in the order of names."""
        write("[limits]\nmax_tools = 5\n", "conf.d/20-site.toml")
        write("[limits]\nmax_tools = 4\n", "conf.d/10-vendor.toml")
        main = write("[limits]\nmax_tools = 3\nmax_messages = 9\n[routing.table]\nuser_chat = 'kimi_k2'\n")
        config = load_config(main)
        assert (config.limits.max_tools, config.limits.max_messages) == (5, 9)
        assert config.routing.table[TaskType.USER_CHAT] == (Target("kimi_k2"),)
        assert config.routing.table[TaskType.CONFIGURATION] == (Target("kimi_k2"),)
        assert [path.name for path in config.sources] == ["config.toml", "10-vendor.toml", "20-site.toml"]

    def test_a_provider_of_ones_own(self, write: Write) -> None:
        """Any OpenAI-style endpoint joins with four lines, and may carry the operator's own price."""
        config = load_config(
            write(
                '[providers.office]\napi = "openai"\nbase_url = "http://127.0.0.1:8000/v1"\nmodel = "m"\nlocal = true\n'
                'rate = { input_usd_per_million = "0.05", output_usd_per_million = 0.1 }\n'
            )
        )
        office = config.providers["office"]
        assert office.configured
        assert office.rate == RateSettings("0.05", "0.1")

    def test_budgets_merge_amount_by_amount(self, write: Write) -> None:
        """A later file changes the amounts that it names, of the users that it names."""
        write(
            "[budgets]\nthresholds = [0.9, 0.5, 1, 0.5]\n"
            "[budgets.machine]\nmonth_usd = 0.1\n[budgets.users.alice]\nday_usd = '7'\n",
            "conf.d/site.toml",
        )
        main = write(
            "[budgets]\nat_limit = 'downgrade'\n[budgets.machine]\nday_usd = 50\nmonth_usd = '500'\n"
            "[budgets.users]\nalice = { day_usd = '5', month_usd = '60' }\n1001 = {}\n"
            "[budgets.groups.students]\nmonth_usd = '100.000000001'\n[budgets.apps.'org.example.Notes']\nday_usd = 1\n"
        )
        assert load_config(main).budgets == BudgetSettings(
            machine=LimitUsd("50", "0.1"),
            users={"alice": LimitUsd("7", "60"), "1001": LimitUsd()},
            groups={"students": LimitUsd(month_usd="100.000000001")},
            apps={"org.example.Notes": LimitUsd("1")},
            thresholds=(0.5, 0.9, 1.0),
            at_limit="downgrade",
        )

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[limit]", "limit: unknown setting; did you mean 'limits'"),
            ("[limits]\nmax_tool = 1", "limits.max_tool: unknown setting; did you mean 'max_tools'"),
            ("[limits]\nmax_tools = 'a'", "limits.max_tools: expected a whole number from 1 to [0-9_]+, got 'a'"),
            ("[limits]\nmax_tools = 0", "limits.max_tools: expected a whole number from 1 to [0-9_]+, got 0"),
            ("[limits]\nmax_tools = true", "limits.max_tools: expected a whole number"),
            ("[routing]\nfallback = 'yes'", "routing.fallback: expected true or false, got 'yes'"),
            ("[routing.table]\nuser_chat = 'nobody'", "routing.table.user_chat: unknown provider 'nobody'"),
            ("[routing.table]\nchat = 'claude'", "expected task types"),
            ("[routing]\ndefault_provider = 'x'", "routing.default_provider: unknown provider 'x'"),
            ("limits = 3", r"limits: expected a table \(\[limits\]\), got 3"),
            ("[providers]\nclaude = 3", "providers.claude: expected a table"),
            ("[providers.new]\napi = 'openai'", "a new provider needs base_url, model as well"),
            (
                "[providers.claude]\napi = 'soap'",
                "providers.claude.api: expected one of 'anthropic', 'openai', 'responses', got 'soap'",
            ),
            ("[providers.claude]\ntimeout_s = nan", "providers.claude.timeout_s: expected a number of seconds"),
            ("[providers.claude]\nkey_file = 'a/b'", "expected an absolute path"),
            ("[providers.claude.rate]\ninput_usd_per_million = '1'", "expected a table with input_usd_per_million and"),
            ("[ledger]\ndurability = 'none'", "ledger.durability: expected one of 'process', 'power'"),
            ("[authorization]\nprivileged_task_types = ['x']", "expected task types"),
            ("[limits]\nmax_deadline_ms = 500", "limits.max_deadline_ms: expected at least limits.default"),
            ("[limits]\ndefault_deadline_ms = 4_000_000", "limits.default_deadline_ms: expected at most"),
            ("[limits]\nmax_requests_per_minute_per_user = 0", "expected a whole number from 1 to [0-9_]+, got 0"),
            ("[budgets]\nmachine = 3", "budgets.machine: expected a table with day_usd and month_usd, got 3"),
            ("[budgets.machine]\nday = 3", "budgets.machine.day: unknown setting; did you mean 'day_usd'?"),
            (
                "[budgets.machine]\nday_usd = -1",
                "budgets.machine.day_usd: expected USD from 0 to 1_000_000_000, got -1",
            ),
            ("[budgets.each_user]\nmonth_usd = 'ten'", "budgets.each_user.month_usd: expected USD from 0 .* got 'ten'"),
            ("[budgets.each_user]\nday_usd = inf", "budgets.each_user.day_usd: expected USD from 0 .* got inf"),
            ("[budgets.each_user]\nday_usd = true", "budgets.each_user.day_usd: expected USD from 0 .* got true"),
            (
                "[budgets.each_user]\nday_usd = 1e10",
                "budgets.each_user.day_usd: expected USD from 0 .* got 10000000000.0",
            ),
            (
                "[budgets.users.al]\nday_usd = '1e-10'",
                "budgets.users.al.day_usd: expected USD .* at most nine decimals",
            ),
            ("[budgets.users]\nal = '5'", "budgets.users.al: expected a table with day_usd and month_usd, got '5'"),
            ("[budgets]\ngroups = 5", "budgets.groups: expected a table of name = "),
            ("[budgets.groups.'a b']", "budgets.groups.'a b': expected names without blanks"),
            (
                "[budgets]\nthresholds = [0.5, 1.5]",
                "budgets.thresholds: expected a list of at most 16 numbers from 0.001 to 1",
            ),
            (
                "[budgets]\nthresholds = 0.5",
                "budgets.thresholds: expected a list of at most 16 numbers from 0.001 to 1",
            ),
            ("[budgets]\nat_limit = 'ask'", "budgets.at_limit: expected one of 'stop', 'downgrade', got 'ask'"),
            ("[cache]\nttl_s = -1", "cache.ttl_s: expected a number of seconds from 0.1 to [0-9_]+, got -1"),
            (
                "[providers.claude]\nmax_tokens = 0",
                "providers.claude.max_tokens: expected a whole number from 1 to 1_000_000, got 0",
            ),
            ("[routing]\nstrategy = 'cheap'", "routing.strategy: expected one of 'table', 'cost', .* got 'cheap'"),
            ("[routing.weights]\nprice = 1", "routing.weights.price: unknown setting; expected one of cost, latency"),
            ("[routing.learned]\nshare = 1", "routing.learned.share: unknown setting; expected one of cost_weight"),
            ("[routing.learned]\nexplore_first = 0.5", "routing.learned.explore_first: expected a whole number"),
            ("[routing.learned.sources]\nthumb = 1", "routing.learned.sources.thumb: unknown setting; expected one of"),
            ("[routing.learned]\nsources = 1", "routing.learned.sources: expected a table with test, program, user"),
            ("[routing.learned.automatic]\ncut_off = 2", "routing.learned.automatic.cut_off: expected a number from 0"),
            ("[routing.weights]\ncost = 0\nlatency = 0\nquality = 0", "routing.weights: all are 0"),
            ("[routing.allowed]\neverbody = []", "routing.allowed.everbody: unknown setting; did you mean 'everybody'"),
            ("[privacy]\nsecrets = true", "privacy.secrets: expected one of 'off', .* got true"),
            ("[providers.claude]\nquirks = ['x']", "providers.claude.quirks: expected one of 'max_completion_tokens'"),
            ("[providers.claude]\nrate = {usd = 1}", r"a table with input_usd_per_million .* got a table with usd"),
            ("[limits\n", "is not valid TOML"),
        ],
    )
    def test_errors_name_file_key_and_expectation(self, write: Write, text: str, words: str) -> None:
        """An administrator can mend the file from the message alone."""
        with pytest.raises(ConfigError, match=words) as caught:
            load_config(write(text))
        assert [Path(problem.file).name for problem in caught.value.problems] == ["config.toml"]
        assert all(problem.reason for problem in caught.value.problems)

    def test_every_problem_is_told(self, write: Write) -> None:
        """One check names what is wrong in all files, each setting with its file."""
        write("[cache]\nenabled = 1\n[nonsense]\n", "conf.d/10-a.toml")
        write("[limits\n", "conf.d/20-b.toml")
        main = write("[limits]\nmax_tools = 0\nmax_messages = 5\nmax_answer = 3\n")
        with pytest.raises(ConfigError) as caught:
            load_config(main)
        assert {(Path(problem.file).name, problem.key) for problem in caught.value.problems} == {
            ("config.toml", "limits.max_tools"),
            ("config.toml", "limits.max_answer"),
            ("10-a.toml", "cache.enabled"),
            ("10-a.toml", "nonsense"),
            ("20-b.toml", ""),
        }
        assert str(caught.value).count("; ") >= 4

    @pytest.mark.parametrize(
        "text",
        [
            "limits = " + "[" * 100_000,
            "[limits]\nmax_tools = " + "9" * 5_000,
            "[limits]\nmax_tools = 0x" + "f" * 5_000,
            "[budgets.machine]\nday_usd = 0x" + "f" * 5_000,
            "[cache]\nttl_s = 0x" + "f" * 5_000,
            "[ledger]\npath = '/a\\u0000b'".replace("'", '"'),
        ],
    )
    def test_what_breaks_a_reader_is_refused(self, write: Write, text: str) -> None:
        """Nesting, digits and NUL without end are a ConfigError that names the file, as any other mistake."""
        with pytest.raises(ConfigError) as caught:
            load_config(write(text))
        assert {Path(problem.file).name for problem in caught.value.problems} == {"config.toml"}

    @pytest.mark.parametrize("name", ["key", "api_key"])
    def test_keys_do_not_belong_in_the_text(self, write: Write, name: str) -> None:
        """A key in the configuration is refused, and not repeated in the error."""
        with pytest.raises(ConfigError, match="keys do not belong in the configuration") as caught:
            load_config(write(f"[providers.claude]\n{name} = 'sk-canary'"))
        assert "canary" not in str(caught.value)

    def test_a_named_file_must_exist(self, tmp_path: Path) -> None:
        """--config with a wrong path is an error, not an empty configuration."""
        with pytest.raises(ConfigError, match="there is no such file"):
            load_config(tmp_path / "none.toml")


class TestKeys:
    def key(self, config: Config, name: str = "claude") -> str | None:
        found = config.providers[name].key
        return found.reveal() if found else None

    def test_environment(self) -> None:
        """The variables that the vendors' own tools use."""
        config = with_keys(builtin_config(), {"ANTHROPIC_API_KEY": " k1 ", "MOONSHOT_API_KEY": "k2"})
        assert (self.key(config), self.key(config, "kimi_k2")) == ("k1", "k2")
        assert not config.providers["deepseek"].configured

    @pytest.mark.parametrize("name", ["keys_claude", "claude"])
    def test_systemd_credentials_come_first(self, tmp_path: Path, name: str) -> None:
        """A credential stands above the environment, alone or from a directory of them."""
        (tmp_path / name).write_text("from-credential\n")
        config = with_keys(builtin_config(), {"CREDENTIALS_DIRECTORY": str(tmp_path), "ANTHROPIC_API_KEY": "env"})
        assert self.key(config) == "from-credential"

    def test_key_file(self, write: Write, tmp_path: Path) -> None:
        """A file of mode 0600 is read; one that others may read is refused with the command that mends it."""
        file = tmp_path / "claude.key"
        file.write_text("from-file\n")
        file.chmod(0o600)
        config = load_config(write(f"[providers.claude]\nkey_file = '{file}'"))
        assert self.key(with_keys(config, {})) == "from-file"
        file.chmod(0o644)
        with pytest.raises(ConfigError, match=r"open to other users; make it 0600 \(chmod 600"):
            with_keys(config, {})

    @pytest.mark.parametrize("content", [b"two words", b"line\nline", b"\xff\xfe", b"x" * 20_000])
    def test_what_is_no_key_is_refused_without_showing_it(self, tmp_path: Path, content: bytes) -> None:
        """The error names the file, never what is in it."""
        (tmp_path / "claude").write_bytes(content)
        with pytest.raises(ConfigError, match=r"holds no key|larger than") as caught:
            with_keys(builtin_config(), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert content.decode("latin-1")[:8] not in str(caught.value).replace(str(tmp_path), "")

    def test_a_secret_does_not_show_itself(self) -> None:
        """Neither repr nor str nor an f-string gives a key away."""
        config = with_keys(builtin_config(), {"ANTHROPIC_API_KEY": "sk-canary"})
        assert "canary" not in repr(config)
        assert "canary" not in f"{Secret('sk-canary')} {config.providers['claude'].key!r}"

    def test_the_hint_names_every_way(self) -> None:
        """ProviderNotConfigured tells what to set."""
        hint = how_to_configure(builtin_config().providers["kimi_k2"])
        assert all(word in hint for word in ("MOONSHOT_API_KEY", "key_file", "credential"))


class TestExample:
    def test_every_setting_is_in_the_example(self, write: Write, tmp_path: Path) -> None:
        """The commented example names every setting, and each commented value is accepted."""
        uncommented = "\n".join(
            line[2:] if line.startswith("# ") and ("=" in line or line.startswith("# [")) else line
            for line in EXAMPLE.read_text().splitlines()
            if not line.startswith("#:")
        )
        write("-----BEGIN CERTIFICATE-----\n", "authorities.pem")
        load_config(write(uncommented.replace("/etc/ssl/certs/ca-certificates.crt", str(tmp_path / "authorities.pem"))))
        shown = tomllib.loads(uncommented)
        for section in dataclasses.fields(Config):
            if section.name in ("sources", "providers"):
                continue
            settings = {item.name for item in dataclasses.fields(getattr(builtin_config(), section.name))}
            assert settings - {"password"} == set(shown[section.name]), section.name
        of_a_provider = {item.name for item in dataclasses.fields(ProviderSettings)} - {"name", "key"}
        assert of_a_provider == set(shown["providers"]["claude"])
        [model] = shown["providers"]["claude"]["models"].values()
        assert {item.name for item in dataclasses.fields(ModelSettings)} == set(model)

    def test_the_example_as_it_stands_changes_nothing(self, write: Write) -> None:
        """Installed as it is, it means the built-in defaults."""
        loaded = load_config(write(EXAMPLE.read_text()))
        assert dataclasses.replace(loaded, sources=()) == builtin_config()
