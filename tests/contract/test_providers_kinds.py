"""A new API kind is one folder and one row: everything that is configured, imported and asked follows from these."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cortexd.config import Config, NetworkSettings, load_config
from cortexd.config.api_kinds import API_KINDS
from cortexd.domain.messages import Call, Message, Role
from cortexd.errors import ConfigError
from cortexd.providers import make_provider, preload
from cortexd.providers.kinds import api_kind
from tests.contract.conftest import HostileServer

KIND = """
import json

from cortexd.domain.messages import Answer
from cortexd.providers.kinds import ApiKind, Sdk, SdkCall
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.request_body import RequestBody


def request(call, quirks=frozenset(), *, stream=False):
    return RequestBody(json.dumps({"hear": [message.text() for message in call.messages]}).encode())


def read(body, asked_model, taken_ids=()):
    return Answer(json.loads(body)["say"], asked_model, None)


KIND = ApiKind(
    path="/talk",
    request=request,
    read=read,
    collector=ChunkCollector,
    sdk=Sdk("openai", "OpenAI", "AsyncOpenAI"),
    sdk_call=SdkCall(
        method=lambda client: client.post,
        named=frozenset({"hear"}),
        streaming={},
        answer={"say": None},
        event=None,
        whole="say",
    ),
)
"""
SETTINGS = """
[providers.polly]
api = "parrot"
base_url = "http://127.0.0.1:{port}/birds"
model = "grey"
local = true
"""


@pytest.fixture
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder and the row."""
    folder = tmp_path / "parrot"
    folder.mkdir()
    for name, text in {"__init__.py": "", "kind.py": KIND}.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(API_KINDS, "parrot", "parrot.kind")
    for name in [name for name in sys.modules if name.partition(".")[0] == "parrot"]:
        monkeypatch.delitem(sys.modules, name)


def configured(path: Path, port: int) -> Config:
    file = path / "config.toml"
    file.write_text(SETTINGS.format(port=port))
    return load_config(file)


class TestNewKind:
    @pytest.mark.usefixtures("parrot")
    async def test_an_answer_over_http(self, tmp_path: Path, hostile: HostileServer) -> None:
        """An endpoint of the new kind is configured, loaded when first asked, and answers through its SDK."""
        hostile.json(json.dumps({"say": "hello yourself"}))
        settings = configured(tmp_path, hostile.port).providers["polly"]
        provider = make_provider(settings, NetworkSettings(), max_answer_bytes=1000)
        assert "parrot.kind" not in sys.modules
        await preload([settings.api])
        answer = await provider.complete(Call("grey", (Message(Role.USER, "hello"),), timeout_s=10.0))
        assert (answer.content, answer.model) == ("hello yourself", "grey")
        assert hostile.requests[0].startswith(b"POST /birds/talk ")
        assert hostile.requests[0].endswith(b'{"hear": ["hello"]}')
        await provider.aclose()

    def test_a_kind_without_a_row(self, tmp_path: Path) -> None:
        """What has no row is refused, with the file, the setting and the kinds that there are."""
        with pytest.raises(ConfigError) as refused:
            configured(tmp_path, 1)
        named = [str(tmp_path / "config.toml"), "providers.polly.api", *map(repr, API_KINDS), "'parrot'"]
        assert [word for word in named if word not in str(refused.value)] == []

    @pytest.mark.parametrize("name", list(API_KINDS))
    def test_every_row_leads_to_its_kind(self, name: str) -> None:
        """A row leads to a kind whose SDK has the classes that it names."""
        sdk = api_kind(name).sdk
        named = {sdk.blocking, sdk.asynchronous, "APIStatusError", "APIConnectionError", "AsyncStream"}
        assert named <= set(dir(__import__(sdk.module)))
