"""The benchmark's simulated replicas and arrivals, compiled and run: what a balancer is measured by is really there."""

import http.client
import json
import shutil
from collections.abc import Iterator

import pytest

from bench import programs
from bench.cases.balance import SCENES
from bench.fleet import REPLICAS, SLOTS, Fleet, Scene, callers, fleet, outcome, over_http, send
from bench.lab import Lab

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the programs are compiled with gcc")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(programs.build(tmp_path_factory.mktemp("programs")), tmp_path_factory.mktemp("lab"), quick=True)


@pytest.fixture
def replicas(lab: Lab) -> Iterator[Fleet]:
    with fleet(lab, Scene("even")) as made:
        yield made


def ask(port: int, prompt: str, path: str = "/v1/chat/completions") -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, json.dumps({"messages": [{"role": "user", "content": prompt}]}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class TestReplicas:
    def test_a_prompt_that_was_read_is_in_the_cache_of_that_replica_alone(self, replicas: Fleet) -> None:
        """Of three prompts with the same beginning the second one at the same port finds it."""
        beginning = "x" * 640
        for port in (replicas.ports[0], replicas.ports[0], replicas.ports[1]):
            status, answer = ask(port, f"{beginning} tokens=1")
            assert (status, answer["object"]) == (200, "chat.completion")
        assert replicas.hit_rate() == pytest.approx(1 / 3)

    def test_an_old_prompt_makes_room(self, replicas: Fleet) -> None:
        """More than the cache holds, and the first prompt is read anew."""
        for number in (1, *range(2, 12), 1):
            ask(replicas.ports[0], f"{number:064}" * 100 + " tokens=1")
        assert replicas.hit_rate() == 0

    def test_one_that_is_gone_refuses_and_comes_back(self, replicas: Fleet) -> None:
        """Its port alone is closed meanwhile, and it has lost its cache."""
        first, other = replicas.ports[:2]
        ask(first, "y" * 640 + " tokens=1")
        replicas.set([0], gone=1)
        with pytest.raises(ConnectionRefusedError):
            ask(first, "tokens=1")
        assert ask(other, "tokens=1")[0] == 200
        replicas.set([0], gone=0)
        assert ask(first, "y" * 640 + " tokens=1")[0] == 200
        assert replicas.hit_rate() == 0

    @pytest.mark.parametrize(("path", "key"), [("/tokenize", "tokens"), ("/v1/chat/completions/render", "token_ids")])
    def test_tokens_are_told_without_work(self, replicas: Fleet, path: str, key: str) -> None:
        """Same text, same tokens, as routers ask vLLM for; the model has not read the prompt then."""
        status, answer = ask(replicas.ports[0], "one two three four", path)
        assert (status, answer["count"]) == (200, 4)
        assert answer[key] == ask(replicas.ports[1], "one two three four", path)[1][key]
        assert replicas.hit_rate() == 0


class TestArrivals:
    def test_each_arrival_is_asked_and_counted(self, lab: Lab, replicas: Fleet) -> None:
        """Ports in turns; a port where nobody listens costs its share of the calls, and its latencies are 0."""
        schedule = [(number * 1000, 1, 640, number, 64, 1) for number in range(40)]
        replicas.set([0], gone=1)
        with callers(lab, {"direct": over_http(replicas.ports)}) as running:
            send(running["direct"], schedule)
            done = outcome("direct", running["direct"])
        assert (done.calls, done.failures) == (40, 40 // REPLICAS)
        assert [ns == 0 for ns in done.latency_ns] == [number % REPLICAS == 0 for number in range(40)]
        assert done.error

    @pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
    def test_a_schedule_is_the_same_each_time(self, scene: Scene) -> None:
        """In order of time, all prompts of one size; only shared ones begin alike."""
        schedule = scene.schedule(20)
        assert schedule == scene.schedule(20)
        assert schedule == sorted(schedule)
        assert (len({line[1] for line in schedule}) < len(schedule)) is scene.shared
        assert len(schedule) > 20 * SLOTS
