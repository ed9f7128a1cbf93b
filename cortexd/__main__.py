"""cortexd: run the daemon, or check its configuration.

Exit status: 0 stopped when asked to; 1 the bus connection ended; 2 wrong options; 69 no bus, or the name is
taken; 70 the interface file does not fit the code; 74 the ledger cannot be used; 75 not now, as on a full disk; 78 the
configuration is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
from pathlib import Path

from cortexd import __version__
from cortexd.config import Config, how_to_configure
from cortexd.errors import ConfigError
from cortexd.telemetry.journal import set_up_logging


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cortexd",
        description="Language models as a service of the operating system, on the D-Bus system bus.",
        epilog="Exit status: 0 stopped when asked to, 1 bus connection ended, 2 wrong options, 69 no bus or the name "
        "is taken, 70 broken installation, 74 ledger unusable, 75 ledger unusable for now, 78 configuration wrong. "
        "SIGHUP reloads, SIGTERM drains and stops.",
    )
    parser.add_argument(
        "--bus",
        default="system",
        metavar="system|session|ADDRESS",
        help="the bus to serve on (default: system); on any other only the daemon's own user is served",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/cortexd/config.toml")
    parser.add_argument("--check-config", action="store_true", help="check settings, keys and shared ledger, and leave")
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    return parser


def _try_ledger(config: Config) -> int:
    """Say how the database of a shared ledger is; the status that cortexd would end with."""
    from cortexd.config import ledger_with_password
    from cortexd.daemon.run import CONFIG_WRONG, LEDGER_UNUSABLE
    from cortexd.ledger.keeping.fitness import fitness

    where, ledger = config.ledger.where, config.ledger
    try:
        with contextlib.suppress(ConfigError):  # which cortexd's own user may not read, unless systemd starts it
            ledger = ledger_with_password(config) if ledger.password is None else ledger
        found = fitness(ledger)
    except ConfigError as error:
        print(f"cortexd: {error}", file=sys.stderr)
        return CONFIG_WRONG
    if found.state:
        print(f"{where}: OK, {found.state}")
    for doubt in found.doubts:
        print(f"cortexd: warning: {where}: {doubt}", file=sys.stderr)
    for fault in found.faults:
        print(f"cortexd: {where}: {fault}", file=sys.stderr)
    if found.faults and ledger.password is None and os.geteuid() == 0 and "@/" in ledger.url:
        print(
            "cortexd: asked as root; where pg_hba.conf says peer: sudo -u cortexd cortexd --check-config",
            file=sys.stderr,
        )
    return LEDGER_UNUSABLE if found.faults else 0


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    set_up_logging("info")

    if options.version:
        print(f"cortexd {__version__}")
        return 0
    from cortexd.config.zone import adopt_zone
    from cortexd.daemon import run as daemon
    from cortexd.daemon.loop import new_loop

    run = daemon.RunOptions(options.bus, options.config)
    try:
        config = daemon.read_config(run)
    except ConfigError as error:
        for problem in error.problems:
            if options.check_config:
                print(f"cortexd: {problem}", file=sys.stderr)
            else:
                logging.getLogger("cortexd").critical("the configuration cannot be used: %s", problem)
        return daemon.CONFIG_WRONG
    if options.check_config:
        from cortexd.catalog.doubts import doubts_of  # which few starts need

        for file in config.sources:
            print(f"{file}: OK")
        for settings in config.providers.values():
            print(f"{settings.name}: {'configured' if settings.configured else how_to_configure(settings)}")
        for doubt in doubts_of(config):
            print(f"cortexd: warning: {doubt}", file=sys.stderr)
        return _try_ledger(config) if config.ledger.url else 0
    logging.getLogger("cortexd").setLevel(config.daemon.log_level.upper())
    adopt_zone(config.ledger.time_zone)

    faulthandler.enable()  # a hang that the watchdog ends shows where it was, in the journal

    async def run_daemon() -> int:
        return await daemon.Daemon(run, config).serve()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(run_daemon())


if __name__ == "__main__":
    sys.exit(main())
