"""The peers' environment: made only when asked for, with words where it cannot be; and what the peers get to see."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import peers, programs
from bench.__main__ import choose, find_cases, read_arguments
from bench.lab import Lab
from bench.processes import CannotMeasure, Child


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")


class TestChoice:
    def test_the_peers_are_measured_only_when_asked_for(self) -> None:
        """Without --peers the case is not among all; with it, it is."""
        cases = find_cases()
        without = {case.name for case in choose(cases, read_arguments(cases, []))}
        asked_for = {case.name for case in choose(cases, read_arguments(cases, ["--peers"]))}
        assert asked_for - without == {"balance", "bridge_peers", "peers"}

    def test_the_case_without_the_option_is_a_wrong_argument(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Naming the case does not install anything: the answer says what is missing."""
        with pytest.raises(SystemExit) as end:
            read_arguments(find_cases(), ["peers"])
        assert end.value.code == 2
        assert "needs --peers: peers" in capsys.readouterr().err


@pytest.mark.usefixtures("offline")
class TestEnvironment:
    def test_what_the_index_does_not_have_is_said_in_words(self, tmp_path: Path) -> None:
        """Without the package index the reason and the way out are told, and the next time it is tried again."""
        wish = tmp_path / "requirements.txt"
        wish.write_text("litellm[proxy]==1.0\n")
        for _ in range(2):
            with pytest.raises(peers.CannotInstall, match=r"(?s)litellm.*package index.*without --peers nothing"):
                peers.make(tmp_path / "peers", wish)

    def test_it_is_made_once_and_anew_for_other_requirements(self, tmp_path: Path) -> None:
        """A second run finds it; another file of requirements replaces it."""
        wish, directory = tmp_path / "requirements.txt", tmp_path / "peers"
        wish.write_text("# nothing\n")
        python = peers.make(directory, wish)
        assert subprocess.run([python, "-c", "pass"], timeout=30).returncode == 0
        (directory / "mark").touch()
        peers.make(directory, wish)
        assert (directory / "mark").exists()
        wish.write_text("# nothing else\n")
        peers.make(directory, wish)
        assert not (directory / "mark").exists()

    def test_the_pinned_requirements_name_versions_and_no_hosts(self) -> None:
        """Every line is one package at one version."""
        lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        assert all("==" in line and "/" not in line for line in lines)

    def test_the_peers_see_nothing_of_the_user(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """No key, no database and no telemetry setting of whoever runs the benchmark, and no way out."""
        for name in ("OPENAI_API_KEY", "DATABASE_URL", "LITELLM_MASTER_KEY", "REDIS_HOST", "http_proxy"):
            monkeypatch.setenv(name, "x")
        seen = peers.environment(tmp_path)
        assert "x" not in seen.values()
        assert (seen["LITELLM_LOCAL_MODEL_COST_MAP"], seen["HOME"]) == ("True", str(tmp_path))
        assert seen["HTTPS_PROXY"].endswith("127.0.0.1:9")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the programs are compiled with gcc")
class TestClient:
    def test_the_first_reply_is_waited_for(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Seconds from spawn to an answer; the plain client then makes every call that it is told to."""
        lab = Lab(programs.build(tmp_path_factory.mktemp("programs")), tmp_path_factory.mktemp("lab"), quick=True)
        with lab.upstream() as upstream:
            assert 0 < peers.first_reply_s(upstream.child, upstream.url) < 30
            with lab.python_worker("bench.sdk_worker", upstream.url, "plain") as client:
                done = client.calls("plain", in_flight=4, calls=20)
            assert (done.failures, len(done.latency_ns)) == (0, 20)
            assert upstream.stats()["answered"] == 21

    def test_a_proxy_that_ends_is_not_waited_for(self, tmp_path: Path) -> None:
        """What it said at its end is the reason."""
        child = Child([sys.executable, "-c", "raise SystemExit('no such option')"], tmp_path / "log")
        try:
            with pytest.raises(CannotMeasure, match="no such option"):
                peers.first_reply_s(child, "http://127.0.0.1:9")
        finally:
            child.stop()
