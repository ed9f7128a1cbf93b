"""The servers as processes: started on a port of their own, killed and started again by tests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.eventually import assert_eventually

INSTALLED = os.environ.get("CORTEXD_MODEL_SERVERS")
"""Where script/model-servers has put them: a directory with `litellm`, `llamacpp` and `transformers`."""
VLLM = "vllm" in os.environ.get("CORTEXD_REAL_SERVERS", "").split()
"""Whether vLLM is there, too, and is asked the same (script/real-servers)."""
KEY = "sk-sim-litellm-of-the-tests-0123456789"
_START_S = 180.0
_NOWHERE = "http://127.0.0.1:9"
# LiteLLM asks for none of its lists in the network.
_OWN_LISTS = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")
_TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
# model -> what the proxy does for it. It answers them itself.
MOCKS: dict[str, dict[str, Any]] = {
    "mock": {"mock_response": "Hello! I am a mock."},
    "slow": {"mock_response": "Hello", "mock_delay": 600},
    "calling": {"mock_response": "", "mock_tool_calls": [_TOOL_CALL]},
    "rate_limited": {"mock_response": "litellm.RateLimitError"},
    "too_long": {"mock_response": "litellm.ContextWindowExceededError"},
    "broken": {"mock_response": "litellm.InternalServerError"},
}
TINY, GONE = "tiny", "gone"  # the model of the other server, and one whose server does not listen


@dataclass(slots=True)
class Server:
    """One server process. `model` is a name that it answers to; `key`, what it wants as a bearer token."""

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    port: int
    log: Path
    model: str
    key: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Returns once it has answered a request in its own words, with the model loaded."""
        assert_eventually(self._answers, _START_S, f"an answer of {self.name}")

    def kill(self) -> None:
        """kill -9, its own processes too; the port is free when this returns."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.spawn()
        self.await_ready()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def post(self, body: Any, key: str | None = None, timeout: float = 100) -> tuple[int, dict[str, str], bytes]:
        """A chat completion asked for without any SDK: status, headers in lower case, and the body."""
        return post(self.url, body, self.key if key is None else key, timeout)

    def answers(self, within_s: float = 100) -> bool:
        """Whether it answers a short question, of each wait at most so long."""
        question = {"model": self.model, "messages": [{"role": "user", "content": "hi"}]}
        try:
            return self.post(question, timeout=within_s)[0] == 200
        except OSError:
            return False

    def _answers(self) -> bool:
        assert self.process is not None
        ended = self.process.poll()
        if ended is not None:
            raise RuntimeError(f"{self.name} ended with {ended}:\n{self.log.read_text('utf-8', 'replace')[-3000:]}")
        return self.answers()


def post(url: str, body: Any, key: str, timeout: float = 100) -> tuple[int, dict[str, str], bytes]:
    host, _, prefix = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", f"/{prefix}/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def transformers(directory: Path) -> Server:
    """`transformers serve` with the tiny model, which is made first. Its name for the model is the path."""
    environment, model = _environment(directory, "transformers"), directory / "model"
    python, program = _program("transformers", "python"), _program("transformers", "transformers")
    maker = Path(__file__).with_name("tiny_model.py")
    subprocess.run(
        [python, "-I", str(maker), str(model)], env=environment, check=True, timeout=_START_S, capture_output=True
    )
    port = _free_port()
    argv = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    return Server("transformers", argv, environment, port, directory / "transformers.log", str(model))


def llamacpp(directory: Path) -> Server:
    """llama.cpp's server with the model that `transformers` has made there, as GGUF. It has four slots."""
    environment, python = _environment(directory, "llamacpp"), _program("llamacpp", "python")
    here, model, port = Path(__file__).parent, directory / "model.gguf", _free_port()
    subprocess.run(
        [python, "-I", str(here / "gguf_model.py"), str(directory / "model"), str(model)],
        env=environment, check=True, timeout=_START_S, capture_output=True,
    )  # fmt: skip
    argv = [python, "-I", str(here / "llamacpp_server.py"), str(model), str(port)]
    return Server("llamacpp", argv, environment, port, directory / "llamacpp.log", TINY)


def vllm(directory: Path) -> Server:
    """vLLM's build for CPUs with the model that `transformers` has made there: script/real-servers installs it."""
    port = _free_port()
    own = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
           "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_HOST_IP": "127.0.0.1"}  # fmt: skip
    argv = [_program("vllm", "vllm"), "serve", str(directory / "model"), "--served-model-name", TINY,
            "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "4096",
            "--enforce-eager", "--override-generation-config", '{"temperature": 0}',
            "--enable-auto-tool-choice", "--tool-call-parser", "hermes"]  # fmt: skip
    environment = _environment(directory, "vllm") | own
    return Server("vllm", argv, environment, port, directory / "vllm.log", TINY)


def litellm(directory: Path, behind: Server) -> Server:
    """LiteLLM's proxy with the mocks, and `behind` as its model `tiny`. It retries nothing and closes no model.

    Asked in Anthropic's format it would ask `behind` for responses, and lose the arguments of a call on the way.
    """
    mocks = [_row(name, {"model": "openai/gpt-4o-mini", **mock}) for name, mock in MOCKS.items()]
    tiny = _row(TINY, {"model": f"openai/{behind.model}", "api_base": behind.url})
    gone = _row(GONE, {"model": "openai/gone", "api_base": f"{_NOWHERE}/v1"})
    settings = {
        "model_list": [*mocks, tiny, gone],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {
            "telemetry": False,
            "num_retries": 0,
            "use_chat_completions_url_for_anthropic_messages": True,
        },
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    config, port = directory / "litellm.json", _free_port()
    config.write_text(json.dumps(settings))  # every JSON object is YAML
    argv = [_program("litellm", "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = _environment(directory, "litellm")
    log = directory / "litellm.log"
    return Server("litellm", [*argv, "--telemetry", "False"], environment, port, log, "mock", KEY)


def _row(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"api_key": "none", **parameters}}


def _program(environment: str, name: str) -> str:
    assert INSTALLED is not None
    return str(Path(INSTALLED) / environment / "bin" / name)


def _environment(directory: Path, name: str) -> dict[str, str]:
    """All that a server sees of the machine: nothing to phone with."""
    home = directory / f"home-{name}"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOG": "ERROR",
        **{f"LITELLM_LOCAL_{own}": "True" for own in _OWN_LISTS},
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE),
        "NO_PROXY": "127.0.0.1",
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
