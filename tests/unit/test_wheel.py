"""What `pip install` brings: the files of the wheel, and types that a program's own checker sees."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from textwrap import dedent

import pytest

from cortexd.cli.service.places import rows

ROOT = Path(__file__).resolve().parents[2]
NOT_SHIPPED = "cortexd/demo/"  # the old address of simulated/

ROUTES = """
    import sys

    sys.path.append(sys.argv[1])  # the libraries that cortexd needs
    import llm_router

    router = llm_router.LLMRouter("sk-simulated")
    print(router.route_task(llm_router.TaskType.USER_CHAT).provider, llm_router.__file__)
"""
RIGHT = """
    import asyncio

    from cortexd.client import AsyncClient, Client, TextEvent
    from cortexd.errors import BudgetExceeded, CortexError
    from llm_router import LLMProvider, LLMResponse, LLMRouter, TaskType, complete_task

    MESSAGES = [{"role": "user", "content": "Hello!"}]


    def over_the_bus() -> str:
        try:
            with Client() as client, client.stream("user_chat", MESSAGES) as stream:
                for piece in stream:
                    reveal_type(piece)  # str
                reveal_type(stream.completion.cost_nano_usd)  # int
                reveal_type(client.batch([("user_chat", "Hello!")]))  # list[Completion | CortexError]
                with client.subscribe() as subscription:
                    reveal_type(next(subscription))  # CostEvent
                return client.ask("Hello!")
        except BudgetExceeded as error:
            reveal_type(error.details)  # dict[str, int | str]
            return str(error)


    async def in_asyncio() -> list[str]:
        pieces = []
        async with AsyncClient() as client, client.stream("user_chat", "Hello!") as stream:
            async for event in stream.events():
                if isinstance(event, TextEvent):
                    pieces.append(event.text)
            reveal_type(await client.usage())  # list[UsageRow]
            async with client.subscribe() as subscription:
                async for paid in subscription:
                    reveal_type(paid.cost_usd)  # float
        return pieces


    async def in_this_process(router: LLMRouter) -> LLMResponse:
        with router.stream(MESSAGES) as stream:
            reveal_type([piece for piece in stream])  # list[str]
            reveal_type(stream.response)  # LLMResponse | None
        reveal_type(router.ROUTING_RULES)  # MutableMapping[TaskType, LLMProvider]
        reveal_type(await router.complete_batch([{"messages": MESSAGES}]))  # list[LLMResponse | BaseException]
        reveal_type(router.complete(MESSAGES, force_provider="office", max_tokens=None))  # LLMResponse
        return await router.acomplete(MESSAGES, task_type=TaskType.SYSTEM_OPERATION)


    print(over_the_bus(), complete_task("Hello!"))
    asyncio.run(in_this_process(LLMRouter(default_provider=LLMProvider.QWEN)))
    reveal_type(CortexError("no").details)  # dict[str, int | str]
"""
WRONG = """
    from cortexd.client import AsyncClient, Client, TextEvnt  # attr-defined
    from cortexd.errors import CortexError, Unknown  # attr-defined
    from llm_router import LLMResponse, LLMRouter, TaskType, complete_task

    MESSAGES = [{"role": "user", "content": "Hello!"}]
    client, router = Client(timeout_s="10"), LLMRouter()  # arg-type
    cost: str = client.complete("user_chat", "Hello!").cost_usd  # assignment
    client.usage(since=1)  # arg-type
    client.stream("user_chat", "Hello!").compleiton  # attr-defined
    for piece in client.stream("user_chat", "Hello!"):
        piece.decode()  # attr-defined
    for event in client.subscribe():
        event.text  # attr-defined
    CortexError("no").nmae  # attr-defined
    router.complete(MESSAGES, task_type="user_chat")  # arg-type
    router.complete(MESSAGES, max_token=10)  # call-arg
    router.complete("Hello!")  # arg-type
    router.default_provider = "claude"  # assignment
    router.stream(MESSAGES).text  # attr-defined
    tokens: str = router.complete(MESSAGES).tokens_used  # assignment
    TaskType.CHAT  # attr-defined
    complete_task(MESSAGES)  # arg-type


    async def forgotten(client: AsyncClient) -> LLMResponse:
        client.complete("user_chat", "Hello!")  # unused-coroutine
        return await client.complete("user_chat", "Hello!")  # return-value
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def below(directory: Path) -> Iterator[Path]:
    """What is below it, through links to directories too, as cortexd/files has them."""
    for path in directory.iterdir():
        yield path
        if path.is_dir():
            yield from below(path)


def pip(*arguments: str | Path, cwd: Path) -> None:
    done = run(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since the build writes beside its sources and a checkout may be read-only."""
    directory = tmp_path_factory.mktemp("wheel")
    unwanted = ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    copytree(ROOT, directory / "sources", symlinks=True, ignore=unwanted)
    offline = ("--no-cache-dir", "--no-index", "--no-deps")
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", directory, directory / "sources", cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installed:
    """A Python with cortexd alone in it."""

    python: Path
    modules: Path

    def check(self, program: str, directory: Path) -> list[str]:
        """What mypy says of a program in an empty directory, a line each."""
        (directory / "program.py").write_text(dedent(program))
        strictly = ("--strict", "--config-file=", "--no-error-summary", "--hide-error-context")
        where = ("--python-executable", self.python, "--cache-dir", directory / "cache")
        mypy = run(sys.executable, "-P", "-m", "mypy", *strictly, *where, "program.py", cwd=directory)
        assert mypy.returncode in {0, 1}, mypy.stderr
        return mypy.stdout.splitlines()


@pytest.fixture
def installed(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    for name in ("MYPYPATH", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    target = tmp_path / "installed"
    venv.create(target, symlinks=True)
    modules = Path(sysconfig.get_path("purelib", "venv", {"base": str(target)}))
    pip("install", "--no-index", "--no-deps", "--no-compile", "--target", modules, wheel, cwd=tmp_path)
    return Installed(target / "bin" / "python", modules)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


def noted(program: str) -> dict[int, str]:
    """Line numbers and what is noted at the lines' ends."""
    lines = enumerate(dedent(program).splitlines(), 1)
    return {number: line.rpartition("  # ")[2] for number, line in lines if "  # " in line}


def bare(kind: str) -> str:
    return re.sub(r"(?:\w+\.)+(?=\w)", "", kind)


class TestFiles:
    def test_packages_with_their_data_and_nothing_else(self, wheel: Path) -> None:
        """The wheel has every file of cortexd and llm_router, markers and data included, and none from beside them."""
        files = (path.relative_to(ROOT) for path in below(ROOT / "cortexd") if path.is_file())
        wanted = {path.as_posix() for path in files if "__pycache__" not in path.parts}
        wanted |= {"llm_router/__init__.py", "llm_router/py.typed"}
        names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        assert names == {name for name in wanted if not name.startswith(NOT_SHIPPED)}
        assert {"cortexd/py.typed", "cortexd/catalog/models.toml", "cortexd/files/places"} <= names

    def test_what_the_package_puts_on_a_machine(self, wheel: Path) -> None:
        """Every source of the one table is in the wheel, byte for byte, for `cortexctl service install`."""
        archive, prefix = zipfile.ZipFile(wheel), "cortexd/files/"
        for row in rows(ROOT / "packaging/places"):
            if row.is_directory or row.completion:
                continue
            sources = sorted(path.relative_to(ROOT) for path in ROOT.glob(row.source) if path.is_file())
            assert sources, row
            for source in sources:
                assert archive.read(f"{prefix}{source}") == (ROOT / source).read_bytes()

    def test_llm_router_is_the_file_at_the_top(self, wheel: Path) -> None:
        """What is installed as a package is llm_router.py, byte for byte."""
        assert zipfile.ZipFile(wheel).read("llm_router/__init__.py") == (ROOT / "llm_router.py").read_bytes()

    def test_installed_library_routes(self, installed: Installed, elsewhere: Path) -> None:
        """The library runs from what was installed, with the catalogue that came along."""
        done = run(installed.python, "-c", dedent(ROUTES), sysconfig.get_path("purelib"), cwd=elsewhere)
        assert done.stdout.split() == ["claude", str(installed.modules / "llm_router" / "__init__.py")], done.stderr


class TestTypes:
    def test_right_program(self, installed: Installed, elsewhere: Path) -> None:
        """A program that uses client, errors and library passes strictly, and each value has its real type."""
        said = installed.check(RIGHT, elsewhere)
        revealed = [re.fullmatch(r'program\.py:(\d+): note: Revealed type is "(.+)"', line) for line in said]
        assert {int(match[1]): bare(match[2]) for match in revealed if match} == noted(RIGHT)
        assert all(revealed), said

    def test_wrong_program(self, installed: Installed, elsewhere: Path) -> None:
        """Each wrong use is reported on its line, and no other line is."""
        said = installed.check(WRONG, elsewhere)
        errors = [re.fullmatch(r"program\.py:(\d+): error: .*\[(.+)\]", line) for line in said]
        assert {int(match[1]): match[2] for match in errors if match} == noted(WRONG)

    def test_markers_decide(self, installed: Installed, elsewhere: Path) -> None:
        """Without py.typed the packages count as untyped: what the checker sees is what was installed."""
        for package in ("cortexd", "llm_router"):
            (installed.modules / package / "py.typed").unlink()
        untyped = [line for line in installed.check(RIGHT, elsewhere) if line.endswith("[import-untyped]")]
        assert re.findall(r'"(\S+)"', "".join(untyped)) == ["cortexd.client", "cortexd.errors", "llm_router"]
