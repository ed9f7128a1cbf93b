"""An older build to measure beside today's: a commit in a git worktree of its own.

    python -m bench.baseline REV      make it where it is missing, print its directory below the checkout

It stands below `.cache/bench/baseline`, so that the service's user reads it where it reads the checkout, and has an
environment of its own only where the locked libraries differ from this one's.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
from pathlib import Path

from bench.lab import CHECKOUT, Build

LOCK = "requirements.txt"
_ENVIRONMENT = ".venv"
_STAMP = "lock-state"  # what was installed, written last: without it the environment is half made
_GIT_S, _INSTALL_S = 120, 900


class CannotBuildBaseline(Exception):
    """The commit could not be built; the text says why and what to do."""


def make(revision: str, checkout: Path = CHECKOUT) -> Path:
    """The worktree of a commit of `checkout`'s repository, ready to run. Raises CannotBuildBaseline."""
    commit = _git(checkout, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", what=f"no commit {revision}")
    tree = checkout / ".cache" / "bench" / "baseline" / commit
    if not (tree / "cortexd").is_dir():
        _git(checkout, "worktree", "prune", what="git worktree prune")  # what somebody deleted by hand
        _git(checkout, "worktree", "add", "--detach", str(tree), commit, what=f"no worktree for {revision}")
    if (tree / LOCK).read_bytes() != (checkout / LOCK).read_bytes():
        _make_environment(tree)
    compileall.compile_dir(str(tree / "cortexd"), quiet=2)  # nobody can in there; without, starts look slow
    return tree


def build_in(tree: Path) -> Build:
    """How to run what `make` has made."""
    own = tree / _ENVIRONMENT / "bin" / "python"
    return Build(tree, own if own.exists() else Path(sys.executable))


def _git(checkout: Path, *arguments: str, what: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildBaseline(f"--baseline needs git: {error}") from None
    if done.returncode:
        reason = done.stderr.strip() or "git rev-parse does not know it; a shallow clone lacks old commits"
        raise CannotBuildBaseline(f"--baseline: {what}: {reason}")
    return done.stdout.strip()


def _make_environment(tree: Path) -> None:
    lock, stamp = tree / LOCK, tree / _ENVIRONMENT / _STAMP
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    print(f"bench: installing the libraries of the baseline into {tree / _ENVIRONMENT}", file=sys.stderr, flush=True)
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")
    python = str(tree / _ENVIRONMENT / "bin" / "python")
    for command in (
        [str(base), "-m", "venv", "--clear", "--without-pip", str(tree / _ENVIRONMENT)],
        [sys.executable, "-m", "pip", "--python", python, "install", *quiet, "--requirement", str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        if done.returncode:
            last = (done.stderr + done.stdout).strip().splitlines()[-3:]
            raise CannotBuildBaseline("--baseline: its libraries could not be installed:\n  " + "\n  ".join(last))
    stamp.write_bytes(lock.read_bytes())


def main() -> int:
    try:
        print(make(sys.argv[1]).relative_to(CHECKOUT))
    except CannotBuildBaseline as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
