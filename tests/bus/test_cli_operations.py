"""cortexctl for who runs the machine: status, credentials, debug-report."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import select
import shutil
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cortexd.client import Client
from cortexd.config import with_keys
from cortexd.config.defaults import builtin_config
from simulated import Behaviour
from tests.bus.private_dbus import PrivateBus, bus_fixture  # noqa: F401
from tests.bus.served import (  # noqa: F401
    START_S,
    Cortexctl,
    Served,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    served_fixture,
    served_of_module_fixture,
)

OTHER, USAGE, NO_DAEMON, PROVIDER_FAILED = 1, 2, 4, 5
KEY = "sk-canary-0123456789"
OFFICE = """
[providers.office]
preset = "vllm"
model = "llama-9"
[[providers.office.replicas]]
base_url = "{one}"
credential = "gpu1"
key_variable = "MOONSHOT_API_KEY"
[[providers.office.replicas]]
base_url = "{two}"
credential = "gpu2"
"""


@dataclass(frozen=True)
class Place:
    """Directories for keys, and programs of the tests' own before all others on PATH."""

    root: Path

    @property
    def options(self) -> tuple[str, ...]:
        return "--directory", str(self.root / "credentials"), "--drop-ins", str(self.root / "drop-ins")

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}

    @property
    def key_file(self) -> Path:
        return self.root / "credentials/claude"

    @property
    def restarts(self) -> list[str]:
        """What systemctl was told."""
        file = self.root / "systemctl"
        return file.read_text().splitlines() if file.exists() else []

    def program(self, name: str, script: str) -> None:
        file = self.root / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "bin").mkdir()
    place = Place(tmp_path)
    place.program("systemctl", f'echo "$@" >> {tmp_path}/systemctl')
    return place


def type_key(argv: list[str], environ: Mapping[str, str], typed: str) -> tuple[int, str]:
    """Run at a terminal and type once the prompt is there: status and screen."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        argv, env=environ, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    with open(screen, "rb", buffering=0) as shown:
        text, deadline, answered = b"", time.monotonic() + START_S, False
        while time.monotonic() < deadline and (process.poll() is None or select.select([screen], [], [], 0)[0]):
            if select.select([screen], [], [], 0.02)[0]:
                text += shown.read(65536) or b""
            silent = not termios.tcgetattr(terminal)[3] & termios.ECHO
            if not answered and b"not shown" in text and silent:
                os.write(screen, f"{typed}\n".encode())
                answered = True
        os.close(terminal)
    process.kill()
    return process.wait(), text.decode()


def decrypted(drop_in: str, environ: Mapping[str, str]) -> str:
    """The key that systemd would hand over as credential claude."""
    encrypted = "".join(drop_in.partition("claude:")[2].replace("\\", "").split())
    argv = ["systemd-creds", "decrypt", "--name=claude", "-", "-"]
    environ = {**os.environ, **environ}
    return subprocess.run(argv, input=encrypted, env=environ, capture_output=True, text=True, timeout=60).stdout


def has_machine_id() -> bool:
    try:
        return len(Path("/etc/machine-id").read_text().strip()) == 32
    except OSError:
        return False


class TestCredentials:
    def test_typed_without_echo(self, served: Served, place: Place) -> None:
        """The key goes from the terminal into a file of root's alone, and is never on the screen."""
        argv = cortexctl_argv(served.address, "credentials", "set", "claude", "--no-verify", *place.options)
        status, screen = type_key(argv, environment(place.environment), KEY)
        assert status == 0, screen
        assert KEY not in screen
        assert place.key_file.read_text() == f"{KEY}\n"
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (place.key_file.parent, place.key_file)]
        assert modes == [0o700, 0o600]
        assert place.restarts == [
            "--no-ask-password daemon-reload",
            "--no-ask-password try-restart cortex-llm-router.service",
        ]

    def test_piped_and_verified(self, cortexctl: Cortexctl, place: Place) -> None:
        """A key from a pipe is stored, and one real request says that it is good."""
        done = cortexctl("credentials", "set", "claude", *place.options, input=f"{KEY}\n", more=place.environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert "claude answers: claude-sonnet-5-5, " in done.stdout
        assert KEY not in done.stdout
        assert sorted(path.name for path in place.root.iterdir()) == ["bin", "credentials", "systemctl"]

    def test_refused_by_the_provider(self, served: Served, cortexctl: Cortexctl, place: Place) -> None:
        """A key that the provider refuses stays, and the status and the words say so."""
        served.simulated.behave("claude", Behaviour(status=401, error_message="invalid x-api-key"))
        done = cortexctl("credentials", "set", "claude", *place.options, input=KEY, more=place.environment)
        assert done.returncode == PROVIDER_FAILED
        assert "claude does not answer with this key" in done.stderr
        served.simulated.reset("claude")
        assert cortexctl("ask", "--provider", "claude", "hello").returncode == 0  # which closes its breaker

    @pytest.mark.parametrize("text", ["", "\n", "two words", "one\ntwo", "schlüssel", "x" * 20_000])
    def test_implausible(self, cortexctl: Cortexctl, place: Place, text: str) -> None:
        """What is no key is refused without showing it, and nothing is stored."""
        done = cortexctl("credentials", "set", "claude", *place.options, input=text, more=place.environment)
        assert done.returncode in (OTHER, USAGE)
        assert "key" in done.stderr
        assert not text.strip() or text not in done.stderr
        assert (place.key_file.exists(), place.restarts) == (False, [])

    def test_unknown_provider(self, cortexctl: Cortexctl, place: Place) -> None:
        """A name that is no provider's is refused before a key is read, as is a path."""
        for name in ("cluade", "../claude"):
            done = cortexctl("credentials", "set", name, *place.options, input=KEY, more=place.environment)
            assert done.returncode == USAGE
            assert "one of claude, " in done.stderr

    @pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="needs systemd-creds")
    @pytest.mark.skipif(not has_machine_id(), reason="systemd-creds needs a machine id, which a container may lack")
    def test_encrypted(self, cortexctl: Cortexctl, place: Place) -> None:
        """--encrypt keeps it as a drop-in that only this machine's systemd can read, instead of the plain file."""
        words = ("credentials", "set", "claude", "--no-restart", *place.options)
        cortexctl(*words, input=KEY, more=place.environment)
        with TemporaryDirectory(dir="/var/tmp", prefix="cortexd-") as lasting:  # systemd wants no tmpfs for its key
            environ = {**place.environment, "SYSTEMD_CREDENTIAL_SECRET": f"{lasting}/secret"}
            done = cortexctl(*words, "--encrypt", input=KEY, more=environ)
            assert done.returncode == 0, done.stderr
            text = (place.root / "drop-ins/key-claude.conf").read_text()
            assert decrypted(text, environ) == KEY
        assert re.fullmatch(r"# .*\n\[Service\]\nSetCredentialEncrypted=claude: \\\n[\s\w+/=\\]+", text)
        assert KEY not in text
        assert not place.key_file.exists()

    def test_not_encrypted(self, cortexctl: Cortexctl, place: Place) -> None:
        """Where systemd-creds cannot encrypt, its reason is told and nothing is kept."""
        place.program("systemd-creds", 'echo "TPM2 not available." >&2; exit 1')
        words = ("credentials", "set", "claude", "--encrypt", *place.options)
        done = cortexctl(*words, input=KEY, more=place.environment)
        assert (done.returncode, done.stderr) == (
            OTHER,
            "cortexctl: systemd-creds cannot encrypt here: TPM2 not available.\n",
        )
        assert sorted(path.name for path in place.root.iterdir()) == ["bin"]

    def test_list_and_remove(self, cortexctl: Cortexctl, place: Place) -> None:
        """list shows names, files and what cortexd has, never a key; remove takes a key away from cortexd too."""
        cortexctl("credentials", "set", "qwen", "--no-restart", *place.options, input=KEY, more=place.environment)
        done = cortexctl("credentials", "list", "--json", *place.options)
        assert KEY not in done.stdout
        assert json.loads(done.stdout) == [
            {"provider": "qwen", "file": f"{place.root}/credentials/qwen", "has_key": False},
            {"provider": "claude", "file": "", "has_key": True},
            {"provider": "kimi_k2", "file": "", "has_key": True},
        ]
        assert "no: restart it" in cortexctl("credentials", "list", *place.options).stdout
        assert cortexctl("credentials", "remove", "qwen", *place.options, more=place.environment).returncode == 0
        assert len(place.restarts) == 2
        done = cortexctl("credentials", "remove", "qwen", *place.options, more=place.environment)
        assert (done.returncode, "there is no key" in done.stderr) == (USAGE, True)

    def test_list_of_replicas(self, served: Served, cortexctl: Cortexctl, place: Place) -> None:
        """A credential that a replica alone names is told like a provider's."""
        with served.configured(OFFICE.format(**{name: served.simulated.url(name) for name in ("one", "two")})):
            place.key_file.parent.mkdir(mode=0o700)
            place.key_file.with_name("gpu2").write_text(KEY)
            done = cortexctl("credentials", "list", "--json", *place.options)
        rows = {row["provider"]: (row["file"], row["has_key"]) for row in json.loads(done.stdout)}
        assert rows["gpu1"] == ("", True)
        assert rows["gpu2"] == (f"{place.root}/credentials/gpu2", False)
        assert "office" not in rows

    def test_without_systemd(self, cortexctl: Cortexctl, place: Place) -> None:
        """Where systemd does not run the key is kept, and what to do is said."""
        place.program("systemctl", 'echo "System has not been booted with systemd as init system" >&2; exit 1')
        done = cortexctl("credentials", "set", "claude", *place.options, input=KEY, more=place.environment)
        assert (done.returncode, "restart cortexd yourself" in done.stderr) == (0, True)

    def test_restart_fails(self, cortexctl: Cortexctl, place: Place) -> None:
        """What systemctl complains about is an error."""
        place.program("systemctl", 'echo "Job for cortex-llm-router.service failed." >&2; exit 1')
        done = cortexctl("credentials", "set", "claude", *place.options, input=KEY, more=place.environment)
        assert (done.returncode, "not been restarted: Job for cortex-llm-router.service failed." in done.stderr) == (
            OTHER,
            True,
        )

    def test_read_as_systemd_hands_it_over(self, cortexctl: Cortexctl, place: Place) -> None:
        """The stored file, under the name that LoadCredential=keys:DIRECTORY gives it, is the daemon's key."""
        cortexctl("credentials", "set", "claude", "--no-restart", *place.options, input=KEY, more=place.environment)
        place.key_file.rename(place.key_file.with_name("keys_claude"))
        key = with_keys(builtin_config(), {"CREDENTIALS_DIRECTORY": str(place.key_file.parent)}).providers["claude"].key
        assert key is not None
        assert key.reveal() == KEY


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_only_root(served: Served) -> None:
    """The machine's keys are root's: others are told to use sudo."""
    program = (
        "import os, sys; from cortexd.cli.app import main; import click, cortexd.cli.commands.credentials as c; "
        "import cortexd.config; os.setuid(65534); sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", program, "--bus", served.address, "credentials", "set", "claude"]
    done = subprocess.run(argv, input=KEY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "cortexctl: keys are kept by root; try again with sudo\n")


class TestStatus:
    def test_healthy(self, cortexctl: Cortexctl) -> None:
        """All is well: status 0, and the figures for a script."""
        done = cortexctl("status", "--json")
        shown = json.loads(done.stdout)
        assert (done.returncode, shown["status"], shown["problems"]) == (0, "healthy", [])
        assert shown["ledger_writable"] is True
        assert {"name": "claude", "state": "ok"} in shown["providers"]
        lines = cortexctl("status").stdout
        assert re.search(r"^cortexd: +\S+ on the given bus, for \d", lines)
        assert "all is well" in lines

    def test_degraded(self, served: Served, cortexctl: Cortexctl) -> None:
        """A provider that fails is named, with status 1."""
        served.simulated.behave("claude", Behaviour(status=500))
        cortexctl("ask", "hello")
        done = cortexctl("status")
        assert (done.returncode, "claude is degraded: " in done.stdout) == (OTHER, True)
        served.simulated.reset("claude")
        assert cortexctl("ask", "--provider", "claude", "hello").returncode == 0
        assert cortexctl("status").returncode == 0

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("LoadState=masked", "sudo systemctl unmask cortex-llm-router.service"),
            ("LoadState=not-found", "install the package cortexd"),
            ("LoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainStatus=78", "(exit-code, status 78)"),
            ("LoadState=loaded\nActiveState=inactive", "Start it with systemctl start cortex-llm-router"),
            ("", "Start it with systemctl start cortex-llm-router"),
        ],
    )
    def test_why_it_is_away(self, bus: PrivateBus, place: Place, state: str, words: str) -> None:
        """On the system bus the unit says why nobody could start it, whichever bus that is."""
        place.program("systemctl", f"printf '%b' '{state}'")
        environ = environment(place.environment | {"DBUS_SYSTEM_BUS_ADDRESS": bus.address})
        done = subprocess.run(
            cortexctl_argv("system", "status"), env=environ, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, words in done.stderr) == (NO_DAEMON, True)

    def test_ledger_that_cannot_be_written(self, served: Served, cortexctl: Cortexctl) -> None:
        """A full disk is named, with status 1, until the ledger can be written again."""
        assert served._daemon is not None
        before = resource.prlimit(served._daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(served._daemon.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            assert cortexctl("ask", "hello").returncode == OTHER
            done = cortexctl("status")
            assert (done.returncode, "the ledger cannot be written" in done.stdout) == (OTHER, True)
            assert json.loads(cortexctl("status", "--json").stdout)["ledger_writable"] is False
        finally:
            resource.prlimit(served._daemon.pid, resource.RLIMIT_FSIZE, before)
        assert cortexctl("ask", "hello").returncode == 0
        assert cortexctl("status").returncode == 0

    def test_absent(self, served: Served, cortexctl: Cortexctl) -> None:
        """No service: status 4."""
        served.stop()
        assert cortexctl("status").returncode == NO_DAEMON
        done = cortexctl("status", "--json")
        assert (done.returncode, json.loads(done.stdout)["status"]) == (NO_DAEMON, "absent")


class TestDebugReport:
    PROMPT = "canary-prompt-of-the-test"

    def entries(self) -> str:
        """What a journal could hold at worst: ids, keys, prompts in an exception's text, of stderr and of fields."""
        request = {"MESSAGE": "request r-canary of uid 1234 (user_chat): done by claude m, $0.0030, 812 ms"}
        ours = {"CORTEXD_LOGGER": "cortexd.service", "CORTEXD_REQUEST_ID": "r-canary", "_TRANSPORT": "journal"}
        trace = (
            f'Traceback (most recent call last):\n  File "/x/service.py", line 7, in complete\n    answer({KEY!r})\n'
        )
        failed = {"MESSAGE": f"internal error 12ab while answering request r-canary\n{trace}ValueError: {self.PROMPT}"}
        library = {"MESSAGE": f"exception=ValueError({self.PROMPT!r})", "CORTEXD_LOGGER": "asyncio"}
        lines = ["cortexd.service: it failed", *trace.splitlines(), f"KeyError: {self.PROMPT}", self.PROMPT]
        stderr = [{"MESSAGE": line, "_TRANSPORT": "stdout"} for line in lines]
        odd = {"MESSAGE": list(b"key \xff sk-unknown-987654321"), "_TRANSPORT": "journal"}
        systemd = {"MESSAGE": "Started cortex-llm-router.service", "_TRANSPORT": "journal"}
        entries = [{**ours, **request}, {**ours, **failed}, {**ours, **library}, *stderr, odd, systemd]
        return "\n".join(map(json.dumps, entries))

    def test_no_secret(self, served: Served, cortexctl: Cortexctl, place: Place) -> None:
        """A key, a prompt and a request id, planted wherever they could come from, are not in the report."""
        (place.root / "entries").write_text(self.entries())
        place.program("journalctl", f"cat {place.root}/entries")
        cortexctl("credentials", "set", "claude", "--no-restart", *place.options, input=KEY, more=place.environment)
        cortexctl("ask", "--request-id", "r-canary", self.PROMPT)
        config = place.root / "config.toml"
        proxy = f'[network]\nproxy = "http://user:{KEY}@proxy.example:1"\nno_proxy = ["127.0.0.1"]\n'
        config.write_text((Path(served.address.partition("=")[2]).parent / "config.toml").read_text() + proxy)
        file = place.root / "report"
        words = ("debug-report", str(file), "--config", str(config), "--directory", str(place.root / "credentials"))
        done = cortexctl(*words, more={**place.environment, "ANTHROPIC_API_KEY": "env-key-canary"})
        assert done.returncode == 0, done.stderr
        text = file.read_text()
        for secret in (KEY, self.PROMPT, "r-canary", "env-key-canary", "sk-unknown-987654321", "sk-sim-claude", "1234"):
            assert secret not in text, secret
        for known in (
            "== versions ==",
            "[providers.claude]",
            '"state": "ok"',
            "service.py",
            "KeyError",
            "right",
            "Started",
        ):
            assert known in text, known
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert cortexctl(*words, more=place.environment).returncode == USAGE

    def test_whatever_is_missing(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Without a service, a configuration, a journal it says so and gives the rest."""
        words = ("debug-report", "--config", f"{tmp_path}/none.toml", "--directory", str(tmp_path))
        done = cortexctl(*words, bus=f"unix:path={tmp_path}/none")
        assert done.returncode == 0
        assert done.stdout.count("cannot be had: ") >= 3
        assert "Python 3" in done.stdout
        assert served.running


class TestMetrics:
    def test_of_a_real_daemon(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Requests and tokens are in the file when the daemon has stopped, and the provider is up."""
        directory = Path(served.address.partition("=")[2]).parent
        (directory / "conf.d").mkdir(exist_ok=True)
        drop_in = directory / "conf.d/metrics.toml"
        drop_in.write_text(f'[metrics]\ntextfile = "{tmp_path}/cortexd.prom"\nper_user = true\n')
        try:
            with Client(served.address) as client:
                client.reload()
            served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
            assert cortexctl("ask", "--request-id", "metrics-1", "hello").returncode == 0
            served.stop()
        finally:
            drop_in.unlink()
        text = (tmp_path / "cortexd.prom").read_text()
        who = 'gen_ai_provider_name="claude",gen_ai_request_model="claude-sonnet-5-5"'
        for line in (
            'cortexd_requests_total{task_type="user_chat",provider="claude",state="done"} 1',
            f'gen_ai_client_token_usage_total{{{who},gen_ai_token_type="input"}} 1000',
            f"cortexd_cost_usd_total{{{who}}} 0.003000000",
            'cortexd_provider_up{provider="claude"} 1',
            f'cortexd_user_requests_total{{uid="{os.getuid()}"}} 1',
            "cortexd_active_requests 0",
        ):
            assert f"\n{line}\n" in text, line
        assert "metrics-1" not in text

    def test_one_log_line_per_request(self, served: Served, cortexctl: Cortexctl) -> None:
        """Who, which and how much; nothing of what was asked or answered."""
        cortexctl("ask", "--request-id", "logged-1", "canary-question")
        [line] = [line for line in served.log.splitlines() if "logged-1" in line]
        uid = os.getuid()
        assert re.search(rf"request logged-1 of uid {uid} \(user_chat\): done by claude \S+, \$[\d.]+, \d+ ms$", line)
        assert "canary-question" not in served.log
