"""Addresses: what no request can be sent to is refused as the configuration is read; the client takes the rest."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexd.config import ProviderSettings, load_config
from cortexd.config.addresses import on_this_machine, parse_address, proxy_address
from cortexd.config.problems import Expectation
from cortexd.config.settings import NetworkSettings
from cortexd.errors import ConfigError
from cortexd.library.errors import InvalidRequestError
from cortexd.library.settings import configure
from cortexd.providers.transport import client_options

RIGHT = (
    "https://api.example.com",
    "https://api.example.com/v1",
    "HTTPS://API.Example.COM:8443/v1/",
    "https://api.example.com./v1",
    "https://192.168.1.20:443",
    "https://[2001:db8::1]:8443/v1",
    "https://a_b.internal/v1",
    "https://ollama/v1",
    "https://bücher.example/v1",
    "https://xn--bcher-kva.example/v1",
    "https://example.com/päth/@team",
    "http://127.0.0.1:11434/v1",
    "http://[::1]:8000/v1",
    "http://localhost",
    f"https://{'a' * 63}.example",
)
WRONG = (
    "",
    "api.example.com",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "https:/api.example.com",
    "https://",
    "https:///v1",
    "https://:443/v1",
    "https://api.example.com?key=1",
    "https://api.example.com/v1?",
    "https://api.example.com/#top",
    "https://api.example.com:",
    "https://api.example.com:0",
    "https://api.example.com:65536",
    "https://api.example.com:99999999999",
    "https://api.example.com:+80",
    "https://api.example.com:８０",
    "https://api.example.com:80:80",
    "https://llm..example",
    "https://.example",
    "https://..",
    "https://-a.example",
    "https://a-.example",
    "https://a b.example",
    "https://a.example/v 1",
    " https://a.example",
    "https://a.example\n",
    "https://a.example/\t",
    "https://a.example/\x00",
    "https://a.example/\u202e",
    "https://a.example/\ud800",
    "https://a!b.example",
    "https://a%41.example",
    "https://a\\b.example",
    f"https://{'a' * 64}.example",
    f"https://{'abcdefg.' * 40}example",
    f"https://a.example/{'a' * 3000}",
    "https://1.2.3",
    "https://127.1",
    "https://0x7f.1",
    "https://256.1.1.1",
    "https://1.2.3.4.",
    "https://[::1",
    "https://::1]",
    "https://[]",
    "https://[127.0.0.1]",
    "https://[::1]x",
    "https://[::g]",
    "https://[fe80::1%eth0]",
    "https://2001:db8::1",
    "https://☃.net",
    "https://xn--a.example",
    "https://xn--.example",
)
CREDENTIALS = (
    "https://user:hunter2@api.example.com",
    "https://user@api.example.com",
    "https://@api.example.com",
    "https://user:hun@ter2@api.example.com",
    "https://user:hun/ter2@api.example.com",
    "user:hunter2@api.example.com",
    "https://api.example.com/v1?key=hunter2",
    "https://api.example.com/v1?api-version=1&hunter2",
)
PARTS = st.sampled_from(
    [*"a._-[]:@/\\?# ü☃。ß!%'\"{ẞ１／．\u200b", "example", "..", "%41", "xn--", "::1", "80", "127.0.0.1", "0x1"]
)


def read(directory: Path, text: str) -> None:
    (directory / "config.toml").write_text(text)
    load_config(directory / "config.toml")


def toml(text: str) -> str:
    """A TOML string of any characters that UTF-8 can carry."""
    return '"' + "".join(char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}" for char in text) + '"'


def refusal(directory: Path, text: str) -> tuple[str, str]:
    """Key and reason of the one problem."""
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    [problem] = caught.value.problems
    assert problem.file == str(directory / "config.toml")
    return problem.key, problem.reason


class TestEndpoint:
    @pytest.mark.parametrize("url", RIGHT)
    def test_right(self, tmp_path: Path, url: str) -> None:
        """Whatever can be requested is accepted."""
        read(tmp_path, f"[providers.claude]\nbase_url = {toml(url)}\n")

    @pytest.mark.parametrize("url", [url for url in WRONG if "\ud800" not in url], ids=ascii)
    def test_wrong(self, tmp_path: Path, url: str) -> None:
        """What cannot is refused, with the key and the reason."""
        key, reason = refusal(tmp_path, f"[providers.claude]\nbase_url = {toml(url)}\n")
        assert key == "providers.claude.base_url"
        assert reason.startswith("expected a")

    @pytest.mark.parametrize("url", CREDENTIALS)
    def test_credentials(self, tmp_path: Path, url: str) -> None:
        """User, password and key do not belong into the address of an endpoint, and are not shown."""
        key, reason = refusal(tmp_path, f"[providers.claude]\nbase_url = {toml(url)}\n")
        assert key == "providers.claude.base_url"
        assert "hun" not in reason
        assert "ter2" not in reason

    @pytest.mark.parametrize("value", ['["https://u:hunter2@h"]', '[[{a = "https://u:hunter2@h"}]]'])
    @pytest.mark.parametrize("key", ["network.proxy", "network.no_proxy", "providers.claude.base_url"])
    def test_credentials_where_no_text_belongs(self, tmp_path: Path, key: str, value: str) -> None:
        """Nor are they shown in a value of another kind."""
        named, reason = refusal(tmp_path, f"{key} = {value}\n")
        assert named.startswith(key)
        assert "hunter2" not in reason

    @settings(max_examples=400, deadline=None)
    @given(st.lists(PARTS, min_size=1, max_size=7).map("".join))
    def test_what_is_accepted_can_be_requested(self, text: str) -> None:
        """Of any text, what passes means the same host to the client, and can be asked of the name servers."""
        try:
            address = parse_address(f"https://{text}")
        except Expectation:
            return
        url = httpx2.URL(f"https://{text}")
        assert url.raw_host.decode() == address.host or address.host in ("::1", "127.0.0.1")
        assert url.port == address.port
        address.host.encode("idna")
        assert isinstance(url.host, str)

    @pytest.mark.parametrize("url", RIGHT)
    def test_the_client_takes_it(self, url: str) -> None:
        """Each right example, with the real HTTP client."""
        provider = ProviderSettings("p", "openai", url, "m")
        with httpx2.Client(**client_options(provider, NetworkSettings())) as client:
            request = client.build_request("POST", f"{url.rstrip('/')}/chat/completions")
        assert request.headers["host"].isascii()


class TestPlainHttp:
    @pytest.mark.parametrize(
        ("host", "local"),
        [
            ("localhost", True),
            ("LOCALHOST.", True),
            ("llm.localhost", True),
            ("127.0.0.1", True),
            ("127.255.0.3", True),
            ("[::1]", True),
            ("[::ffff:127.0.0.1]", True),
            ("0.0.0.0", True),  # Linux leads it to the machine itself
            ("192.168.1.20", False),
            ("10.0.0.1", False),
            ("169.254.169.254", False),
            ("[fd00::1]", False),
            ("localhost.example.com", False),
            ("notlocalhost", False),
            ("ollama", False),
        ],
    )
    def test_to_this_machine_alone(self, tmp_path: Path, host: str, local: bool) -> None:
        """Elsewhere, a private network included, it needs `insecure`; `local` does not give it."""
        text = f'[providers.claude]\nbase_url = "http://{host}:8000/v1"\nlocal = true\n'
        assert on_this_machine(host.strip("[]")) is local
        if local:
            read(tmp_path, text)
        else:
            key, reason = refusal(tmp_path, text)
            assert key == "providers.claude.base_url"
            assert "insecure = true" in reason
            read(tmp_path, text + "insecure = true\n")

    def test_insecure_from_another_file(self, tmp_path: Path) -> None:
        """Address and consent may stand in two files."""
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d/10.toml").write_text("[providers.claude]\ninsecure = true\n")
        read(tmp_path, '[providers.claude]\nbase_url = "http://llm.example"\n')

    def test_through_a_proxy(self, tmp_path: Path) -> None:
        """What would go to a proxy elsewhere as plain text is refused, unless the endpoint is reached without it."""
        proxy = '[network]\nproxy = "http://proxy.example:3128"\n'
        plain = '[providers.claude]\nbase_url = "http://127.0.0.1:8000"\n'
        key, reason = refusal(tmp_path, proxy + plain)
        assert key == "providers.claude.base_url"
        assert "proxy.example" in reason
        read(tmp_path, proxy + plain + "local = true\n")
        read(tmp_path, proxy + 'no_proxy = ["127.0.0.0/8"]\n' + plain)
        read(tmp_path, '[network]\nproxy = "http://127.0.0.1:3128"\n' + plain)


class TestProxy:
    @pytest.mark.parametrize(
        "url",
        [
            "http://proxy.example:3128",
            "https://proxy.example/",
            "http://me:pass%40word@proxy:3128",
            "http://[::1]:3128",
        ],
    )
    def test_right(self, tmp_path: Path, url: str) -> None:
        """User and password are allowed, and the real client takes it."""
        read(tmp_path, f"[network]\nproxy = {toml(url)}\n")
        provider = ProviderSettings("p", "openai", "https://api.example.com", "m")
        assert client_options(provider, NetworkSettings(proxy=url))["proxy"] is not None

    @pytest.mark.parametrize(
        "url",
        [url for url in WRONG if "\ud800" not in url]
        + ["socks5://proxy:1080", "http://proxy:3128/path", "http://u:hunter2@h@proxy", "http://u:hunt/er2@proxy"],
        ids=ascii,
    )
    def test_wrong(self, tmp_path: Path, url: str) -> None:
        """Refused as an endpoint's, and a path as well; a password is not shown."""
        key, reason = refusal(tmp_path, f"[network]\nproxy = {toml(url)}\n")
        assert key == "network.proxy"
        assert "hunt" not in reason

    def test_takes_nothing_but_text(self) -> None:
        """A number or a list is no address."""
        for value in (None, 3, ["http://proxy"], True):
            with pytest.raises(Expectation):
                proxy_address(value)


class TestNoProxy:
    def test_right(self, tmp_path: Path) -> None:
        """Everything that can match."""
        entries = (
            '["*", ".example.com", "*.example.com", "example.com", "10.0.0.0/8", "::1", "[::1]", "fd00::/8", "a_b"]'
        )
        read(tmp_path, f"[network]\nno_proxy = {entries}\n")

    @pytest.mark.parametrize(
        "entry", ["", " ", "https://example.com", "example.com:80", "a b", "a..b", "10.0.0.0/40", "."]
    )
    def test_wrong(self, tmp_path: Path, entry: str) -> None:
        """What never matches a host is a mistake, and named by its place."""
        key, reason = refusal(tmp_path, f'[network]\nno_proxy = ["ok.example", "{entry}"]\n')
        assert key == "network.no_proxy[1]"
        assert repr(entry) in reason


class TestLibrary:
    @pytest.mark.parametrize(
        "url",
        # without what means nothing said, or is taken off
        [
            url
            for url in (*WRONG, *CREDENTIALS, "http://llm.example/v1", "http://192.168.1.20")
            if url and url == url.strip()
        ],
        ids=ascii,
    )
    def test_refuses_the_same(self, url: str) -> None:
        """`base_url` arguments are held to the same, and plain http to this machine."""
        with pytest.raises(InvalidRequestError) as caught:
            configure({"kimi_base_url": url})
        assert str(caught.value).startswith("kimi_base_url: ")
        assert "hun" not in str(caught.value)

    @pytest.mark.parametrize("url", RIGHT)
    def test_takes_the_same(self, url: str) -> None:
        """Right addresses are used as they are."""
        assert configure({"kimi_base_url": url}).providers["kimi_k2"].base_url == url
