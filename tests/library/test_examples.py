"""The examples of docs/python-library.md: printed as in their files, and run as printed, over HTTP."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from simulated import Behaviour, SimulatedProviders

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python-library.md"
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
CLAUDE, KIMI = "[claude-sonnet-5-5] You said: ", "[kimi-k2.6] You said: "
IN_PROCESS = [example for example in EXAMPLES if example.stem != "over_the_bus"]  # which has its own test
# example -> what it prints on the simulated providers
PRINTED = {
    "api_keys": "",
    "basic_chat": f"Provider: claude\nResponse: {CLAUDE}Hello! What can you help me with?\nCost: $0.000192\n",
    "system_operation": f"Provider: kimi_k2\nInstructions: {KIMI}Install CUDA drivers for NVIDIA RTX 4090\n",
    "convenience_function": f"{KIMI}Diagnose why apt install failed with dependency errors\n",
    "force_provider": "Provider: claude\n",
    "fallback": "Provider: claude\n",
    "cost_tracking": "Total requests: 2\nTotal cost: $0.00013285\nClaude requests: 1\nKimi K2 requests: 1\n",
    "tool_calling": 'kimi_k2 execute_bash {"command": "sample"}\nclaude execute_bash {"command": "sample"}\n',
    "package_manager": f"{KIMI}Install: a web server that serves static files\n",
    "error_diagnosis": (
        f"{KIMI}Command: apt install cuda\nError: E: Unable to locate package cuda\nWhat went wrong and how to fix?\n"
    ),
    "user_chat": f"{CLAUDE}What can you do?\n",
    "default_settings": "",
    "custom_rules": "claude\n",
    "streaming": f"{CLAUDE}Tell me about apt.\nclaude: $0.000130\n",
    "many_at_once": "".join(f"{KIMI}Explain exit code {code}\n" for code in (1, 2, 127)),
    "own_tests": "Hello from a fake\n7e-05\n",
}
BEHAVIOURS = {
    "fallback": {"claude": Behaviour(keys=("valid-key",))},
    "tool_calling": {"claude": Behaviour(auto_tool=True), "kimi_k2": Behaviour(auto_tool=True)},
}


class TestExamples:
    @pytest.mark.parametrize("example", IN_PROCESS, ids=lambda path: path.stem)
    def test_runs_as_printed(
        self,
        example: Path,
        at_home: SimulatedProviders,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Each file runs with keys in the environment and prints what it should."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-sim-claude")
        monkeypatch.setenv("MOONSHOT_API_KEY", "sk-sim-kimi")
        for name, behaviour in BEHAVIOURS.get(example.stem, {}).items():
            at_home.behave(name, behaviour)
        runpy.run_path(str(example), run_name="__main__")
        assert capsys.readouterr().out == PRINTED[example.stem]

    def test_an_invalid_key_was_tried_first(
        self, at_home: SimulatedProviders, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In the fallback example Kimi K2 is asked, refuses the key, and Claude answers."""
        at_home.behave("claude", BEHAVIOURS["fallback"]["claude"])
        runpy.run_path(str(ROOT / "docs" / "examples" / "fallback.py"))
        assert (at_home.counts("kimi_k2").statuses, at_home.counts("claude").answered) == ({"401": 1}, 1)


class TestPage:
    def test_prints_every_example_as_it_is(self) -> None:
        """The page has the text of each file, letter by letter, under its name, and no other Python."""
        page = PAGE.read_text("utf-8")
        printed = re.findall(r"\(examples/(\w+)\.py\)[^\n]*\n+```python\n(.*?)```\n", page, re.DOTALL)
        assert dict(printed) == {example.stem: example.read_text("utf-8") for example in EXAMPLES}
        assert len(printed) == len(EXAMPLES) == page.count("```python")
