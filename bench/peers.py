"""The peers, LiteLLM's Router and proxy, TensorZero's gateway and vLLM's router: an environment of their own, and how
they are started.

    python -m bench.peers [DIR]      make the environment where it is missing, print its directory

The environment stands outside of the checkout, in the user's cache, and is made only when it is asked for. Run there,
LiteLLM asks nobody but the upstream: its lists are the ones it ships, there is no database and no telemetry, and what
would leave the machine all the same is sent to a proxy that does not exist.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure, Child

BASE_PYTHON = "/usr/bin/python3"
MODEL = "chat"
REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")
_STAMP = "installed.txt"  # what was installed, written last: without it the environment is half made
_INSTALL_S = 1200
_START_S = 120.0
_OWN_LISTS = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")


class CannotInstall(Exception):
    """The peers' environment could not be made; the text says why and what to do."""


# --- the environment ----------------------------------------------------------------------------------------------


def default_directory() -> Path:
    """In the user's cache: some 850 MB that every checkout shares."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "cortexd-bench" / "peers"


def make(directory: Path, requirements: Path = REQUIREMENTS) -> Path:
    """The environment's interpreter, made first where it is missing or holds something else. Raises CannotInstall."""
    stamp = directory / _STAMP
    if not (stamp.exists() and stamp.read_text() == requirements.read_text()):
        print(f"bench: installing the peers into {directory} (once, some 850 MB)", file=sys.stderr, flush=True)
        _make_anew(directory, requirements)
        stamp.write_text(requirements.read_text())
    return directory / "bin" / "python"


def _make_anew(directory: Path, requirements: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    _do([BASE_PYTHON, "-m", "venv", "--without-pip", str(directory)])
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python"), "install"]
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--timeout", "20", "--retries", "1")
    _do([*pip, *quiet, "--only-binary", ":all:", "--requirement", str(requirements)])


def _do(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(_advice(str(error))) from None
    if done.returncode:
        errors = [line for line in (done.stderr + done.stdout).splitlines() if line.strip() and "WARNING" not in line]
        raise CannotInstall(_advice("\n  ".join(errors[-3:])))


def _advice(reason: str) -> str:
    return (
        f"the peers could not be installed:\n  {reason}\n"
        "--peers needs Python's venv (package python3-venv) and, the first time, the package index; "
        "without --peers nothing is installed and everything else is measured"
    )


# --- running them -------------------------------------------------------------------------------------------------


def environment(home: Path) -> dict[str, str]:
    """All that a peer sees of the machine: nothing to phone with. `home` is an empty directory."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "LITELLM_LOG": "ERROR",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # loopback only, and no key costs it less
        **{f"LITELLM_LOCAL_{name}": "True" for name in _OWN_LISTS},
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
        "NO_PROXY": "127.0.0.1",
    }


def model_list(base_url: str) -> list[dict[str, object]]:
    """One Claude behind the name `chat`, as Router and proxy want it: what cortexd's user_chat asks too."""
    params = {"model": "anthropic/claude-sonnet-5-5", "api_base": base_url, "api_key": "bench"}
    return [{"model_name": MODEL, "litellm_params": params}]


@contextlib.contextmanager
def router(lab: Lab, python: Path, upstream: Upstream) -> Iterator[SdkWorker]:
    """The Router in a process of its own, told what to ask like the bare SDKs."""
    command = [str(python), "-m", "bench.peer_router", upstream.url]
    with lab.worker(command, "router", environ=environment(lab.directory)) as worker:
        yield worker


@contextlib.contextmanager
def tensorzero(lab: Lab, python: Path, upstream: Upstream) -> Iterator[SdkWorker]:
    """TensorZero's gateway in a process of its own, told what to ask like the bare SDKs."""
    command = [str(python), "-m", "bench.peer_tensorzero", upstream.url]
    quiet = {"RUST_LOG": "off", "ANTHROPIC_API_KEY": "bench"}  # its log goes where the answers go
    with lab.worker(command, "tensorzero", environ=environment(lab.directory) | quiet) as worker:
        yield worker


@contextlib.contextmanager
def proxy(lab: Lab, python: Path, upstream: Upstream) -> Iterator[tuple[Child, str]]:
    """The proxy's one process and its address, as soon as it is spawned (see `first_reply_s`)."""
    port = _free_port()
    config = lab.directory / "litellm.json"  # every JSON object is YAML
    config.write_text(json.dumps({"model_list": model_list(upstream.url), "litellm_settings": {"telemetry": False}}))
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    command = [str(python), "-m", "litellm.proxy.proxy_cli", *options]
    with lab.running(command, "proxy", environ=environment(lab.directory)) as child:
        yield child, f"http://127.0.0.1:{port}"


def first_reply_s(child: Child, url: str) -> float:
    """Ask until the proxy answers; seconds since its spawn. Raises CannotMeasure where it ends or stays silent."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.alive():
        if _answers(url):
            return (time.monotonic_ns() - child.started_ns) / 1e9
        time.sleep(0.02)
    raise CannotMeasure(f"LiteLLM's proxy does not answer:\n{child.log_end()}")


def _answers(url: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]})
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def vllm_router(lab: Lab, python: Path, policy: str, workers: Sequence[str]) -> Iterator[tuple[Child, int]]:
    """vLLM's router over `workers` and its port, as soon as it serves. All but the policy is as it comes."""
    port = _free_port()
    ports = ["--port", str(port), "--prometheus-port", str(_free_port())]
    start = ["--worker-startup-check-interval", "1", "--log-level", "error"]
    command = [str(python), "-m", "vllm_router.launch_router", "--policy", policy, *ports, *start]
    with lab.running([*command, "--worker-urls", *workers], policy, environ=environment(lab.directory)) as child:
        _wait_for_port(child, port)
        yield child, port


def _wait_for_port(child: Child, port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.alive():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise CannotMeasure(f"vLLM's router does not serve:\n{child.log_end()}")


def main() -> int:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else default_directory()
    try:
        make(directory)
    except CannotInstall as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
