"""The walk-through: every command is really run, as a real Unix user, on a real bus."""

from __future__ import annotations

import subprocess
import sys
import threading

from demo.stage import Stage

SIMULATED = "The models are simulated: they repeat what you said. Prices are the real ones; nothing is paid."
_OBJECT = "org.cortexlinux.LLMRouter /org/cortexlinux/LLMRouter org.cortexlinux.LLMRouter"
_BUSCTL_ASK = f"busctl call --timeout=60 {_OBJECT} Ask ss"
_GDBUS = "gdbus call --system --timeout 60 --dest org.cortexlinux.LLMRouter --object-path /org/cortexlinux/LLMRouter"


def walk(stage: Stage) -> None:
    """From the first call to the ledger's sums."""
    screen = stage.screen
    screen.text("cortexd runs as user cortexd on a private system bus, with the real polkitd beside it.")
    if not stage.real:
        screen.text(SIMULATED)
    screen.text("Users: alice (in group cortex), bob (in no group), root. None of them owns an API key.")
    _look_around(stage)
    _watch_costs(stage)
    _two_models(stage)
    _who_may(stage)
    _dead_provider(stage)
    _budget(stage)
    _ledger(stage)


def _look_around(stage: Stage) -> None:
    stage.screen.heading("The service is an object on the system bus")
    stage.run("alice", "busctl tree org.cortexlinux.LLMRouter")
    stage.run("alice", "cortexctl providers")


def _watch_costs(stage: Stage) -> None:
    stage.screen.heading("alice leaves two windows open: her own costs, and what everybody may see")
    for source, line in (
        ("alice's costs", "cortexctl watch"),
        ("everybody", "gdbus monitor --system --dest org.cortexlinux.LLMRouter"),
    ):
        process = stage.leave_running("alice", line)
        ready = threading.Event()
        threading.Thread(target=_relay, args=(stage, source, process, ready), daemon=True).start()
        if not ready.wait(20):
            raise SystemExit(f"{line} did not start")


def _relay(stage: Stage, source: str, process: subprocess.Popen[str], ready: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if source != "everybody" or "TotalsChanged" in line or "ProviderStateChanged" in line:
            stage.screen.live(source, line.rstrip().replace("/org/cortexlinux/LLMRouter: ", ""))
        if "watching" in line or "owned by" in line:
            ready.set()


def _two_models(stage: Stage) -> None:
    stage.screen.heading("The task decides the model: Claude chats, Kimi K2 debugs and operates")
    stage.run("alice", f'{_BUSCTL_ASK} user_chat "Hello! What can you help me with?"')
    stage.run("alice", "cortexctl route --task error_debugging 'Why did apt install fail?'")
    stage.run(
        "alice",
        f"{_GDBUS} --method org.cortexlinux.LLMRouter.Complete error_debugging "
        """'[{"role": <"user">, "content": <"Diagnose why apt install failed with dependency errors">}]'""",
    )
    stage.run("root", f'{_BUSCTL_ASK} system_operation "Install CUDA drivers for NVIDIA RTX 4090"')


def _who_may(stage: Stage) -> None:
    stage.screen.heading("polkit decides who may")
    stage.screen.text("bob has no seat and is not in the group; he would have to prove who he is:")
    stage.run("bob", f'{_BUSCTL_ASK} user_chat "Hello" --allow-interactive-authorization=no')
    stage.screen.text("alice may chat, but a system operation needs an administrator:")
    stage.run("alice", f'{_BUSCTL_ASK} system_operation "Install nginx" --allow-interactive-authorization=no')


def _dead_provider(stage: Stage) -> None:
    stage.screen.heading("Claude's address is now a dead end: Kimi K2 answers in its place")
    stage.configure(dead="claude")
    stage.run("alice", "cortexctl ask 'Are you still there?'")
    stage.run("alice", "cortexctl ask --json 'And what happened?' | grep -E 'provider|outcome|reason|error' || true")
    stage.configure(dead="")


def _budget(stage: Stage) -> None:
    stage.screen.heading("An administrator sets a budget: hard, checked before a byte leaves the machine")
    stage.run("root", "cortexctl budget set --user alice --day 0.02")
    stage.run("alice", "cortexctl ask 'One more question'")
    stage.run("alice", "cortexctl budget")
    stage.run("alice", "cortexctl ask --model kimi-k2.6 --max-tokens 500 'A cheaper one, then?'")
    stage.run("root", "cortexctl budget remove --user alice")


def _ledger(stage: Stage) -> None:
    stage.screen.heading("The books: each user sees their own figures, the ledger has them all")
    stage.run("alice", "cortexctl usage --by model")
    stage.run("root", f"{sys.executable} -m cortexd.ledger {stage.ledger}")
