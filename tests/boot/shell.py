"""script/boot --shell: a booted system with the package installed, for a look around."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.boot.install import install, put_in_keys, start_simulated
from tests.boot.machine import Machine


def main() -> None:
    tree, package = Path(os.environ["CORTEXD_BOOT_TREE"]), Path(os.environ["CORTEXD_BOOT_PACKAGE"])
    with tempfile.TemporaryDirectory() as directory, Machine(tree, Path(directory)) as machine:
        install(machine, package)
        start_simulated(machine)
        put_in_keys(machine)
        machine.add_user("alice", "cortex")
        print("cortexd is installed, its providers are simulated; alice is in group cortex. Leave with exit.")
        environment = {"TERM": os.environ.get("TERM", "dumb")}
        subprocess.run(machine.enter(["bash", "--norc", "-i"], environment=environment))


if __name__ == "__main__":
    main()
