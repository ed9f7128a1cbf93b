"""Model servers of this machine, found by the sockets that listen."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cortexd.cli.commands import providers
from cortexd.cli.machine.discovery import Found, discover
from cortexd.cli.settings import Settings
from cortexd.cli.shown.discovered import show_discovered
from cortexd.config import load_config
from cortexd.config.presets import Preset, presets

Serve = Callable[[str, object], Preset]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves what a model server lists, and gives the preset with that server's port."""
    servers: list[HTTPServer] = []

    def started(name: str, listed: object) -> Preset:
        body = listed if isinstance(listed, bytes) else json.dumps(listed).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/v1/models" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return dataclasses.replace(presets()[name], base_url={"openai": f"http://127.0.0.1:{server.server_port}/v1"})

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def listed(*names: str, **more: object) -> dict[str, object]:
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]}


class TestDiscover:
    def test_what_listens_is_asked(self, serve: Serve) -> None:
        """Its models, their context in each server's own words, and whose socket it is."""
        preset = serve("ollama", listed("qwen3:4b", "llama3.2"))
        [found] = discover([preset])
        assert (found.preset, found.uid) == (preset, os.getuid())
        assert found.models == {"qwen3:4b": None, "llama3.2": None}

    @pytest.mark.parametrize("more", [{"max_model_len": 4096}, {"meta": {"n_ctx": 4096, "n_ctx_train": 9}}])
    def test_context(self, serve: Serve, more: dict[str, object]) -> None:
        """As vLLM and llama.cpp say it."""
        [found] = discover([serve("vllm", listed("m", **more))])
        assert found.models == {"m": 4096}

    def test_a_server_is_known_by_its_word(self, serve: Serve) -> None:
        """At another one's port too; the address is written down then."""
        at_ollamas = serve("ollama", listed("m", owned_by="vllm"))
        [found] = discover([at_ollamas, presets()["vllm"]])
        assert found.preset.name == "vllm"
        assert f'base_url = "http://127.0.0.1:{found.port}/v1"' in found.toml()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"hello",
            b"[]",
            b'{"data": 3}',
            b'{"data": []}',
            b'{"data": [{"id": "a b"}, {"id": 3}, 4]}',
            b"\xff" * 99,
        ],
    )
    def test_who_is_no_model_server(self, serve: Serve, body: bytes) -> None:
        """Any other program at such a port is passed over, and so are names that no setting could hold."""
        assert list(discover([serve("vllm", body)])) == []

    def test_nobody_listens(self) -> None:
        """Nothing is connected to; vendors in the cloud are never asked."""
        free = dataclasses.replace(presets()["vllm"], base_url={"openai": "http://127.0.0.1:1/v1"})
        assert list(discover([free, presets()["claude"]])) == []


class TestDeclare:
    @pytest.mark.parametrize("models", [{"m": None}, {"m": 4096}, {"org/m:4b": None, "n": 8}])
    def test_what_is_written_is_read(self, tmp_path: Path, models: dict[str, int | None]) -> None:
        """The settings of each server, as cortexd takes them: with whatever models it has, which cortexd asks for."""
        file = tmp_path / "config.toml"
        file.write_text(Found(presets()["llamacpp"], 8080, 0, models).toml())
        [*_, found] = load_config(file).providers.values()
        assert (found.name, found.local, found.model, found.models) == ("llamacpp", True, "*", {})
        assert found.says_models

    def test_whom_an_ordinary_user_holds_is_not(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It is shown with what to write by hand; the system's are declared, and what is there already stays."""
        servers = [Found(presets()["ollama"], 11434, 0, {"m": None}), Found(presets()["vllm"], 8000, 1000, {"m": None})]
        show_discovered(servers, tmp_path, as_json=False)
        said = capsys.readouterr()
        assert [file.name for file in tmp_path.iterdir()] == ["ollama.toml"]
        assert 'preset = "vllm"' in said.out
        assert "not declared" in said.err
        (tmp_path / "ollama.toml").write_text("mine")
        show_discovered(servers, tmp_path, as_json=False)
        assert (tmp_path / "ollama.toml").read_text() == "mine"
        assert "kept" in capsys.readouterr().err

    def test_as_a_command(self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In JSON, without a service that answers."""
        preset = serve("sglang", listed("m", owned_by="sglang", max_model_len=7))
        monkeypatch.setattr(providers, "presets", lambda: {"sglang": preset})
        done = CliRunner().invoke(providers.command, ["discover", "--json"], obj=Settings())
        [found] = json.loads(done.stdout)
        assert (found["preset"], found["uid"], found["models"]) == ("sglang", os.getuid(), {"m": 7})
