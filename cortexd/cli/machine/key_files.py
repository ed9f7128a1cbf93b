"""Where systemd finds the providers' keys: files of one directory, or encrypted in drop-ins of the unit.

The unit's `LoadCredential=keys:/etc/cortexd/credentials` hands each file NAME over as keys_NAME. systemd 252 knows no
second directory of the same name for encrypted ones, so each of those stands in a drop-in, as SetCredentialEncrypted=.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cortexd.config import UNIT_CREDENTIALS, Secret
from cortexd.config.whole_file import replace
from cortexd.errors import AccessDenied, ConfigError

DIRECTORY = UNIT_CREDENTIALS
DROP_INS = Path("/etc/systemd/system/cortex-llm-router.service.d")
_ENCRYPT_S = 60.0
_DROP_IN = re.compile(r"key-([A-Za-z0-9_-]{1,64})\.conf")


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """`directory` holds plain keys (0700, its files 0600), `drop_ins` those encrypted for this machine."""

    directory: Path = DIRECTORY
    drop_ins: Path = DROP_INS

    def refuse_others(self) -> None:
        """The machine's own keys are root's. Raises AccessDenied."""
        if os.geteuid() != 0 and self.directory == DIRECTORY:
            raise AccessDenied("keys are kept by root; try again with sudo")

    def list(self) -> dict[str, Path]:
        """The providers that have a key here, each with the file that holds it."""
        plain = self.directory.iterdir() if self.directory.is_dir() else ()
        found = {file.name: file for file in sorted(plain) if file.is_file()}
        encrypted = sorted(self.drop_ins.glob("key-*.conf"))
        return {match[1]: file for file in encrypted if (match := _DROP_IN.fullmatch(file.name))} | found

    def set(self, name: str, key: Secret) -> Path:
        """Keep a key as a file. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        file = self.directory / name
        # systemd would hand an unfinished file of the directory over as well
        replace(file, f"{key.reveal()}\n".encode("ascii"), 0o600, beside=self.directory.parent)
        self._drop_in(name).unlink(missing_ok=True)
        return file

    def set_encrypted(self, name: str, key: Secret) -> Path:
        """Keep a key encrypted with this machine's TPM, its host key or both. Raises ConfigError or OSError."""
        setting = _encrypted(name, key)
        self.drop_ins.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = self._drop_in(name)
        text = f"# by cortexctl credentials set --encrypt; readable for this machine alone\n[Service]\n{setting}"
        replace(file, text.encode("ascii"), 0o644, beside=self.drop_ins)
        (self.directory / name).unlink(missing_ok=True)
        return file

    def remove(self, name: str) -> bool:
        """False where there is none. Raises OSError."""
        files = [file for file in (self.directory / name, self._drop_in(name)) if file.exists()]
        for file in files:
            file.unlink()
        return bool(files)

    def _drop_in(self, name: str) -> Path:
        return self.drop_ins / f"key-{name}.conf"


def _encrypted(name: str, key: Secret) -> str:
    """The unit's setting with the key in it, which goes to systemd-creds over a pipe."""
    argv = ["systemd-creds", "encrypt", "--pretty", f"--name={name}", "-", "-"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and a provider's name
            argv, input=key.reveal().encode(), capture_output=True, timeout=_ENCRYPT_S, check=False
        )
    except FileNotFoundError:
        raise ConfigError("systemd-creds is not installed, so keys cannot be encrypted; leave --encrypt out") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"systemd-creds has not encrypted the key within {_ENCRYPT_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(f"systemd-creds cannot encrypt here: {said[-1] if said else 'it does not say why'}")
    return done.stdout.decode()
