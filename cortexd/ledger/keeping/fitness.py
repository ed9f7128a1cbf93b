"""Whether a daemon could begin in a shared ledger's database, for who sets one up: nothing is made or changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines import Place, engine_of, place_of
from cortexd.ledger.keeping.migrate import revision
from cortexd.ledger.keeping.revisions import HEAD, REVISIONS
from cortexd.ledger.keeping.schema import budget_overrides, fleet_settings, metadata, shared_metadata

WITHIN_S = 15.0
_MAY_BE_ANOTHERS = (fleet_settings.name, budget_overrides.name)
_GOES_ON = "cortexd starts all the same and looks for it; until then local models that cost nothing go on, alone."


@dataclass(frozen=True, slots=True)
class Fitness:
    """`state`: of a database that will do, else "". `doubts`: what cortexd starts with all the same; `faults`: why it
    would not, or why the database lets nobody in. Whole sentences, the next step last."""

    state: str = ""
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def fitness(ledger: LedgerSettings, within_s: float = WITHIN_S) -> Fitness:
    """Ask the database, for so long. Raises ConfigError where the driver is not installed."""
    place = place_of(ledger)
    found: list[Fitness | Exception] = []

    def ask() -> None:
        try:
            found.append(_asked(place))
        except Exception as error:  # noqa: BLE001  it is raised below
            found.append(error)

    asking = threading.Thread(target=ask, name="fitness", daemon=True)  # nothing bounds all that a pooler may wait for
    asking.start()
    asking.join(within_s)
    answer = found[0] if found else _away(f"the database has not answered within {within_s:g} s")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _asked(place: Place) -> Fitness:
    pool = place.readers()
    try:
        with pool.connect() as connection:
            return _of(connection)
    except SQLAlchemyError as error:
        reason = place.engine.unwritable(error) or type(error).__name__
        if not place.engine.refuses(error):
            return _away(reason)
        return Fitness(faults=(f"{reason}.",))
    finally:
        pool.dispose()


def _away(reason: str) -> Fitness:
    return Fitness(doubts=(f"{reason}. {_GOES_ON}",))


def _of(connection: Connection) -> Fitness:
    found = revision(connection)
    doubts: list[str] = []
    faults: list[str] = []
    rights = _rights() if found == HEAD else {}
    for stops, words in engine_of(connection).amiss(connection, rights, begun=found is not None):
        (faults if stops else doubts).append(words)
    state = "it holds no ledger yet, the first cortexd makes it" if found is None else f"schema {found}"
    if found is not None and found not in REVISIONS:
        faults.append(f"its schema is {found}, which this cortexd does not know (it has {HEAD}). Upgrade cortexd here.")
    elif found not in (None, HEAD):
        doubts.append(f"its schema is {found}. This cortexd makes it {HEAD}, then no older one starts: upgrade all.")
    return Fitness("" if faults else state, tuple(doubts), tuple(faults))


def _rights() -> Mapping[str, Sequence[str]]:
    """By privilege, the tables that a daemon needs it for."""
    tables = [*metadata.tables, *shared_metadata.tables]
    return {"SELECT": tables, "INSERT": [name for name in tables if name not in _MAY_BE_ANOTHERS]}
