"""What an administrator does on a fresh system, and the simulated providers that stand in for the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cortexd import __version__
from simulated.control import base_url
from tests.boot.machine import PYTHON, PYTHONPATH, Completed, Machine
from tests.eventually import assert_eventually

CANARY_KEY = "sk-sim-canary-Zq83hT0pLx9"
NEWER = f"{__version__}+newer"
OLDER = f"{__version__}~alpha"
PROVIDERS = ("claude", "kimi_k2")
_QUIETLY = {"DEBIAN_FRONTEND": "noninteractive"}


def apt(machine: Machine, *arguments: str) -> Completed:
    return machine.run("apt-get", "-q=2", "-y", *arguments, environment=_QUIETLY, timeout=110)


def install(machine: Machine, package: Path) -> Completed:
    """apt install ./cortexd.deb, with what it depends on from apt's cache: there is no network."""
    place = f"/root/{package.name}"
    copy_into(machine, package, place)
    return apt(machine, "install", place)


def copy_into(machine: Machine, file: Path, place: str) -> None:
    with file.open("rb") as data:
        subprocess.run(machine.enter(["tee", place]), stdin=data, stdout=subprocess.DEVNULL, check=True, timeout=60)


def with_old_unit(package: Path, directory: Path) -> Path:
    """The package as it was when its unit was called cortexd.service, like the daemon of Cortex's own."""
    tree, made = directory / "with-old-unit", directory / "cortexd-with-old-unit.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True, timeout=60)
    unit = next(tree.rglob("cortex-llm-router.service"))
    unit.rename(unit.with_name("cortexd.service"))
    for file in (tree / "usr/share/dbus-1/system-services/org.cortexlinux.LLMRouter.service", *tree.glob("DEBIAN/*")):
        file.write_text(file.read_text().replace("cortex-llm-router.service", "cortexd.service"))
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {OLDER}"))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made], check=True, timeout=60)
    return made


def start_simulated(machine: Machine) -> None:
    """From the checkout, as a unit of its own; cortexd is pointed at it."""
    argv = (*PYTHON, "-m", "simulated", "--port-file=/run/simulated.port")
    machine.run("systemd-run", "--unit=simulated", f"--setenv=PYTHONPATH={PYTHONPATH}", *argv)
    assert_eventually(lambda: machine.exists("/run/simulated.port"), 30, "the simulated providers")
    base = f"http://127.0.0.1:{machine.read('/run/simulated.port').strip()}"
    sections = [f'[providers.{name}]\nbase_url = "{base_url(base, name)}"\n' for name in PROVIDERS]
    machine.write("/etc/cortexd/conf.d/10-simulated.toml", "".join(sections))


def put_in_keys(machine: Machine, key: str = CANARY_KEY) -> None:
    for name in PROVIDERS:
        machine.write(f"/etc/cortexd/credentials/{name}", f"{key}-{name}\n", mode="600")
