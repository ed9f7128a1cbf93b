"""Real clients, unmodified, under `cortexctl run`: a daemon, polkit and the bridge as they are, simulated providers.

script/client-programs installs them; script/real-clients adds larger programs, and writes down what each showed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.eventually import assert_eventually
from tests.system.clients.client import Client
from tests.system.clients.kinds import KINDS, NODE, OURS, Kind
from tests.system.clients.scenes import ANSWERED, CANCEL, CANCELLED, NOT_ANSWERED, PICTURE, STREAM, Scene, calling
from tests.system.clients.table import Table
from tests.system.namespace import PYTHON
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.zones import noon

CONFIG = "[daemon]\npreload_sdks = true\n"
ENVIRONMENT = noon()
NEEDED = "needs the clients: script/test installs them with CORTEXD_SLOW=1, script/client-programs alone"
pytestmark = pytest.mark.slow
PROGRAMS = "tests.system.clients.programs"
Of = Callable[[Kind], Client]


@pytest.fixture(scope="session")
def installed(namespace: Path) -> Path | None:
    """Where script/client-programs has put them, at a path that every user can reach."""
    made = os.environ.get("CORTEXD_CLIENT_PROGRAMS")
    if not made:
        return None
    here = namespace / "client-programs"
    here.mkdir()
    subprocess.run(["mount", "--bind", made, here], check=True)
    return here


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    table = Table()
    yield table
    if path := os.environ.get("CORTEXD_CLIENTS_TABLE"):
        Path(path).write_text(table.markdown())


@pytest.fixture(scope="module")
def of(shared_of_module: Shared, installed: Path | None) -> Iterator[Of]:
    """The client of a kind; kinds of one program have one."""
    running: dict[tuple[str, ...], Client] = {}
    with ExitStack() as stack:

        def client(kind: Kind) -> Client:
            key = (kind.program, *kind.arguments)
            if key not in running:
                running[key] = stack.enter_context(started(kind, installed))
            return running[key]

        yield client
        for one in running.values():  # they take their time, beside each other
            one.leave()


def started(kind: Kind, installed: Path | None) -> Client:
    binary = [f"{installed}/{kind.where}/{kind.binary}"] if kind.binary else []
    arguments = [PICTURE, *binary, *kind.arguments]
    if kind.where == OURS:
        return Client([PYTHON, "-m", f"{PROGRAMS}.{kind.program}", *arguments])
    if installed is None or not (installed / kind.where).is_dir():
        pytest.skip(NEEDED)
    if kind.where == NODE:
        script = f"{PROGRAMS.replace('.', '/')}/{kind.program}.cjs"
        return Client(["node", script, *arguments], {"NODE_PATH": f"{installed}/{NODE}/node_modules"})
    python = "/usr/bin/python3" if kind.binary else f"{installed}/{kind.where}/bin/python"
    return Client([python, "-m", f"{PROGRAMS}.{kind.program}", *arguments])


@pytest.fixture(scope="module", params=KINDS, ids=[kind.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


def begin(shared: Shared, client: Client, kind: Kind, scene: Scene, name: str = "") -> None:
    behaviours = (calling(*kind.calls[name]), scene.behaviours[-1]) if name in kind.calls else scene.behaviours
    for provider in ("claude", "kimi_k2"):
        shared.behave(provider, *behaviours)
    client.begin(scene.what, kind.route + (scene.model or kind.model))


class TestRealClients:
    @pytest.mark.parametrize("name", ANSWERED)
    def test_an_answer(self, shared: Shared, of: Of, kind: Kind, table: Table, name: str) -> None:
        """Is shown whole, came in pieces where it is a stream, and costs what the provider bills."""
        if name in kind.without:
            pytest.skip(f"{kind.name} has none")
        scene, client, before = ANSWERED[name], of(kind), shared.books().charged_nano
        begin(shared, client, kind, scene, name)
        seen = client.seen()
        assert not seen.get("error")
        assert seen["text"] == scene.text or (kind.command and scene.text in seen["text"])
        assert name != STREAM or kind.waits or seen["pieces"] > 2
        assert all(word in shared.simulated.received(kind.model)[-1].body for word in scene.sent)
        assert_eventually(lambda: shared.books().charged_nano - before == shared.billed_nano() > 0)
        table.answered(kind, name)

    def test_a_cancel(self, shared: Shared, of: Of, kind: Kind, table: Table) -> None:
        """In the middle of a stream ends it at the provider, and what was said is booked."""
        client, before = of(kind), len(shared.books().rows)
        begin(shared, client, kind, CANCELLED)
        if kind.command:
            assert_eventually(lambda: shared.simulated.counts(kind.model).chunks_sent > 5)
            client.interrupt()
        seen = client.seen()
        assert kind.command or CANCELLED.text in seen["text"]
        assert_eventually(lambda: shared.simulated.counts(kind.model).client_aborts == 1)
        assert_eventually(lambda: shared.books().states[before:] == ["cancelled"])
        assert shared.books().rows[-1]["charged"] > 0
        table.answered(kind, CANCEL)

    @pytest.mark.parametrize("name", NOT_ANSWERED)
    def test_a_refusal(self, shared: Shared, of: Of, kind: Kind, table: Table, name: str) -> None:
        """Is the client's own kind of error, with the service's details, and no provider is asked."""
        scene, client = NOT_ANSWERED[name], of(kind)
        if scene.config:
            shared.reload(CONFIG + scene.config)
        begin(shared, client, kind, scene)
        seen = client.seen()
        if scene.config:
            shared.reload(CONFIG)
        assert (seen.get("error"), seen.get("status")) == kind.errors[name]
        assert (scene.text in seen["said"]) is (name not in kind.hides)
        assert "ALLOW_INTERACTIVE" not in seen["said"]  # which no user of such a program can set
        assert set(shared.requests().values()) == {0}
        table.refused(kind, name, seen)
