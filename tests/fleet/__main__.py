"""Ten hosts, one ledger, one budget: thousands of requests at once, then others while parts of it are killed."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.eventually import assert_eventually
from tests.fleet.asking import Asked
from tests.fleet.database import Database
from tests.fleet.host import Host, make_hub
from tests.fleet.verdict import COST_NANO, Verdict, judge, open_requests

USD = 10**9
_PER_S = 60
_REST_S = 120


class Show:
    def __init__(self, directory: Path, hosts: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._database = Database(directory / "database")
        self._database.begin()
        url = self._database.url
        self._hosts = [Host(directory / f"host{number}", number, url) for number in range(1, hosts + 1)]
        self.asked = Asked()

    async def calm(self, requests: int) -> Verdict:
        """All at once, with a budget that has room for most of them."""
        budget = requests * COST_NANO * 3 // 4
        await asyncio.gather(*(asyncio.to_thread(host.begin, f"{budget / USD:.9f}") for host in self._hosts))
        began = time.monotonic()
        await self.asked.at_once(self._hosts, requests)
        say(f"{requests} requests at once on {len(self._hosts)} hosts took {time.monotonic() - began:.1f} s")
        return await self._at_rest(budget)

    async def storm(self, seconds: float, cut_s: float) -> Verdict:
        """Requests all the time, and one thing after another that goes wrong, each at least once."""
        budget = 10**6 * COST_NANO
        for host in self._hosts:
            host.configure(f"{budget / USD:.9f}")
            host.reload()
        kinds = [self._kill_daemon, self._kill_database, self._kill_pool, lambda: self._cut(cut_s), self._fill]
        until, over = time.monotonic() + seconds, asyncio.Event()
        asking = asyncio.create_task(self.asked.until(over, self._hosts, _PER_S))
        rounds = 0
        while not rounds or time.monotonic() < until:
            for kind in self._chance.sample(kinds, len(kinds)):
                if not rounds or time.monotonic() < until:
                    await asyncio.sleep(self._chance.uniform(6, 14))  # all find back meanwhile
                    await asyncio.to_thread(kind)
            rounds += 1
        over.set()
        await asyncio.to_thread(self._database.heal)
        await asking
        return await self._at_rest(budget)

    def end(self) -> None:
        for host in self._hosts:
            host.end()
        self._database.end()

    async def _at_rest(self, budget: int) -> Verdict:
        """Once every daemon has settled or lost all that it had."""
        cluster = self._database.cluster

        def rest() -> bool:
            spooled, pending = self._spooled(), open_requests(cluster)
            assert not spooled, f"spools with lines: {spooled}"
            assert not pending, f"pending: {pending}"
            return True

        await asyncio.to_thread(assert_eventually, rest, _REST_S, "requests to be settled")
        return judge(cluster, self._hosts, self.asked.answered, budget)

    def _spooled(self) -> list[str]:
        """Files with lines beside those that name the spool, whose number is 0."""
        return [str(spool) for host in self._hosts for spool in host.spools if _waiting(spool)]

    def _kill_daemon(self) -> None:
        host = self._chance.choice(self._hosts)
        say(f"kill -9 of {host.name}'s daemon")
        host.kill()
        host.start()

    def _kill_database(self) -> None:
        say("kill -9 of PostgreSQL")
        self._database.kill()
        time.sleep(self._chance.uniform(0, 5))
        self._database.start()

    def _kill_pool(self) -> None:
        say("kill -9 of PgBouncer")
        self._database.kill_pool()
        time.sleep(self._chance.uniform(0, 3))
        self._database.start_pool()

    def _cut(self, seconds: float) -> None:
        host = self._chance.choice(self._hosts)
        say(f"the link of {host.name} is cut for {seconds:g} s")
        host.cut()
        time.sleep(seconds)
        host.join()

    def _fill(self) -> None:
        say("the database's disk is full")
        with self._database.full():
            time.sleep(3)
        self._database.heal()


def _waiting(spool: Path) -> bool:
    return any(line.split(b" ", 2)[1:2] != [b"0"] for line in spool.read_bytes().splitlines())


def say(words: str) -> None:
    print(words, flush=True)


async def main(options: argparse.Namespace) -> int:
    make_hub()
    with tempfile.TemporaryDirectory(prefix="fleet-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        show = Show(Path(place), options.hosts, options.seed)
        try:
            verdicts = {"all at once": await show.calm(options.requests)}
            report("all at once", verdicts["all at once"])
            if not verdicts["all at once"].faults:
                verdicts["storm"] = await show.storm(options.minutes * 60, options.cut)
                report("storm", verdicts["storm"])
            say(f"callers without an answer: {dict(show.asked.ended)}")
        finally:
            show.end()
    return int(any(verdict.faults for verdict in verdicts.values()))


def report(name: str, verdict: Verdict) -> None:
    say(f"{name}: " + (f"{len(verdict.faults)} FAULTS" if verdict.faults else "the books are right"))
    for key, value in verdict.figures.items():
        say(f"  {key}: {value}")
    for fault in verdict.faults[:20]:
        say(f"  FAULT: {fault}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="script/fleet-chaos", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=30,
        help="of the storm; each thing goes wrong once at least (default: 30)",
    )
    parser.add_argument("--requests", type=int, default=5000, help="at once, before it (default: 5000)")
    parser.add_argument("--hosts", type=int, default=10, help="daemons, each a host of its own (default: 10)")
    parser.add_argument("--cut", type=float, default=60, help="seconds for which a link is cut (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of what happens when (default: 1)")
    given = parser.parse_args()
    if min(given.hosts, given.requests) < 1 or given.minutes < 0 or given.cut <= 0:
        parser.error("at least 1 host, 1 request and 0 minutes, and a cut of more than 0 seconds")
    sys.exit(asyncio.run(main(given)))
