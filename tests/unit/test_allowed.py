"""Which models a user may have, and which he never wants: settings, plans, downgrades."""

from __future__ import annotations

import asyncio
import dataclasses
import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cortexd.accounts.allowances import Allowances
from cortexd.authority import Caller
from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import Config, load_config
from cortexd.config.allowed import AllowedSettings
from cortexd.domain.messages import Strategy
from cortexd.domain.money import from_usd
from cortexd.domain.targets import Target, covered
from cortexd.domain.tasks import TaskType
from cortexd.errors import AccessDenied, ConfigError, InvalidArgument, NoProviderAvailable, UnknownProvider
from cortexd.routing import Allowed, Health, Plan, Wishes, downgrade, plan_route
from cortexd.validation import parse_preferences
from tests.eventually import assert_eventually_async
from tests.unit.routes import ALL, OWN, catalog_of, config, names, plan, prefers, question
from tests.unit.test_budgets import no_threads_left

Write = Callable[..., Path]
CHAT, SYSTEM = TaskType.USER_CHAT, TaskType.SYSTEM_OPERATION
EVERY = """
[routing.allowed]
everybody = ["claude/claude-haiku-5-5", "qwen"]
[routing.allowed.groups]
"web team's.friends" = []
developers = ["kimi_k2"]
[routing.allowed.users]
alice = "*"
1000 = ["llama", "llama"]
[routing.allowed.task_types]
system_operation = ["qwen"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str, name: str = "config.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return tmp_path / "config.toml"

    return put


def targets(*texts: str) -> tuple[Target, ...]:
    return tuple(map(Target.parse, texts))


def may(*texts: str, **more: Any) -> Wishes:
    return Wishes(allowed=Allowed(targets(*texts)), **more)


def excluding(*texts: str) -> Wishes:
    return Wishes(excluded=frozenset(targets(*texts)))


def chosen(made: Plan) -> list[str]:
    return [str(item.target) for item in made.candidates]


def left_out(made: Plan) -> dict[str, str]:
    return {f"{item.provider}/{item.model}": item.reason for item in made.left_out}


class TestSettings:
    def test_are_read(self, write: Write) -> None:
        """Lists by everybody, group, user and task type; an empty one is nobody."""
        allowed = load_config(write(EVERY.replace('"web team\'s.friends"', "students"))).routing.allowed
        assert allowed == AllowedSettings(
            targets("claude/claude-haiku-5-5", "qwen"),
            {"students": (), "developers": targets("kimi_k2")},
            {"alice": targets("*"), "1000": targets("llama")},
            {SYSTEM: targets("qwen")},
        )
        assert load_config(write("")).routing.allowed == AllowedSettings()

    def test_later_files_stand_above_by_key(self, write: Write) -> None:
        """A list replaces its namesake alone."""
        write('[routing.allowed]\neverybody = []\n[routing.allowed.groups]\nstaff = ["*"]\n', "conf.d/10.toml")
        text = '[routing.allowed]\neverybody = ["qwen"]\n[routing.allowed.groups]\ndevelopers = ["kimi_k2"]\n'
        allowed = load_config(write(text)).routing.allowed
        assert allowed.everybody == ()
        assert allowed.groups == {"developers": targets("kimi_k2"), "staff": targets("*")}

    def test_are_shown_as_they_are(self, write: Write) -> None:
        """`cortexctl config show` says what reads the same again."""
        for text in ("", EVERY.replace('"web team\'s.friends"', '"web.team"'), "[routing.allowed]\neverybody = []\n"):
            allowed = load_config(write(text)).routing.allowed
            again = load_config(write(settings_as_toml(load_config(write(text)))))
            assert again.routing.allowed == allowed

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('allowed = ["claude"]', "routing.allowed"),
            ("[routing.allowed]\neverybody = 1", "routing.allowed.everybody"),
            ('[routing.allowed]\neverybody = ["cloud"]', "routing.allowed.everybody"),
            ('[routing.allowed]\neverybody = ["*/x"]', "routing.allowed.everybody"),
            ('[routing.allowed]\neverybody = ["claude/"]', "routing.allowed.everybody"),
            ('[routing.allowed]\nanybody = ["claude"]', "routing.allowed.anybody"),
            ('[routing.allowed]\ngroups = ["staff"]', "routing.allowed.groups"),
            ('[routing.allowed.groups]\n"two words" = ["claude"]', "routing.allowed.groups.two words"),
            ('[routing.allowed.groups]\nstaff = ["clod"]', "routing.allowed.groups.staff"),
            ("[routing.allowed.users]\nalice = [1]", "routing.allowed.users.alice"),
            ('[routing.allowed.task_types]\nchat = ["claude"]', "routing.allowed.task_types.chat"),
        ],
    )
    def test_wrong_ones(self, write: Write, text: str, key: str) -> None:
        """Each is refused by its key and file."""
        with pytest.raises(ConfigError) as caught:
            load_config(write(text if text.startswith("[") else f"[routing]\n{text}"))
        [problem] = caught.value.problems
        assert problem.key == key
        assert problem.file.endswith("config.toml")


ME = pwd.getpwuid(os.getuid())
MY_GROUP = grp.getgrgid(ME.pw_gid).gr_name


async def allowed_to(settings: AllowedSettings, uid: int = ME.pw_uid, user: str = ME.pw_name) -> Allowed:
    return await Allowances(settings).of(Caller(":1.1", uid, user))


class TestAllowances:
    async def test_the_union(self) -> None:
        """Everybody's, the groups' and one's own lists together; others have no more than everybody."""
        settings = AllowedSettings(
            targets("qwen"), {MY_GROUP: targets("claude", "qwen")}, {str(ME.pw_uid): targets("kimi_k2")}
        )
        assert (await allowed_to(settings)).targets == targets("qwen", "claude", "kimi_k2")
        assert (await allowed_to(settings, 4_000_000, "zoe")).targets == targets("qwen")

    async def test_everything(self) -> None:
        """Without a list, and by "*" in any of one's own; a task type's stands beside that."""
        assert (await allowed_to(AllowedSettings())).targets is None
        for settings in (
            AllowedSettings(targets("*")),
            AllowedSettings((), {MY_GROUP: targets("*")}),
            AllowedSettings((), {}, {ME.pw_name: targets("qwen", "*")}),
        ):
            assert (await allowed_to(settings)).targets is None
        by_task = AllowedSettings(task_types={SYSTEM: targets("qwen"), CHAT: targets("*")})
        assert await allowed_to(by_task) == Allowed(None, {SYSTEM: targets("qwen")})

    async def test_who_is_in_no_list(self) -> None:
        """Nothing, as soon as there is one."""
        for settings in (AllowedSettings(()), AllowedSettings(users={"zoe": targets("*")})):
            assert (await allowed_to(settings)).targets == ()

    async def test_a_reload_while_groups_are_looked_up(self) -> None:
        """What comes back is of the settings that hold by then."""
        allowances = Allowances(AllowedSettings((), {MY_GROUP: targets("claude")}))
        with no_threads_left():
            asked = asyncio.create_task(allowances.of(Caller(":1.1", ME.pw_uid, ME.pw_name)))
            await assert_eventually_async(lambda: allowances._groups._lookup is not None)
            allowances.adopt(AllowedSettings(targets("qwen")))
        assert (await asked).targets == targets("qwen")


class TestPlan:
    def test_what_is_not_allowed_is_left_out(self) -> None:
        """The row's first is passed over, and the plan says so; the fallback goes to whom the user may have."""
        made = plan(use=config(ALL), wishes=may("kimi_k2", "qwen"))
        assert names(made) == ["kimi_k2", "qwen"]
        assert made.reason == "kimi_k2 is the first whom you may have; claude is not allowed to you (routing.allowed)"
        assert left_out(made)["claude/claude-sonnet-5-5"] == "is not allowed to you (routing.allowed)"
        assert left_out(made)[f"deepseek/{OWN['deepseek']}"] == "is not allowed to you (routing.allowed)"

    def test_a_row_goes_on_with_its_next(self) -> None:
        """Of several in a row the first that is allowed answers."""
        table = {CHAT: targets("claude", "qwen", "kimi_k2")}
        made = plan(use=with_routing(table=table), wishes=may("qwen", "kimi_k2"))
        assert made.reason == "user_chat goes to qwen; claude is not allowed to you (routing.allowed)"

    def test_a_model_alone(self) -> None:
        """Of a provider whose own model is not allowed those that are take its place."""
        made = plan(use=config(ALL), wishes=may("claude/claude-haiku-5-5"))
        assert chosen(made) == ["claude/claude-haiku-5-5"]
        for strategy in Strategy:
            made = plan(use=config(ALL), wishes=may("claude/claude-haiku-5-5", "qwen"), strategy=strategy.value)
            assert sorted(chosen(made))[0] == "claude/claude-haiku-5-5"
            assert {item.provider for item in made.candidates} == {"claude", "qwen"}

    def test_a_provider_that_is_named_alone(self) -> None:
        """By a call, a row or a preference: it is the first of its models that the user may have."""
        allowed, haiku = ("claude/claude-haiku-5-5", "claude/claude-opus-5-5", "qwen"), "claude/claude-haiku-5-5"
        made = plan(use=config(ALL), wishes=may(*allowed))
        assert made.reason == f"user_chat goes to {haiku}; claude is not allowed to you (routing.allowed)"
        assert left_out(made)["claude/claude-sonnet-5-5"] == "is not allowed to you (routing.allowed)"
        for asked in (
            made,
            plan(use=config(ALL), wishes=may(*allowed), provider="claude"),
            plan(use=config(ALL), wishes=may(*allowed, targets=prefers("claude"))),
            plan(use=config(ALL), wishes=may(*allowed, sticky=Target("claude"))),
        ):
            assert chosen(asked)[0] == haiku

    def test_without_fallback_too(self) -> None:
        """One answers, where the row's first is not allowed."""
        assert chosen(plan(use=config(ALL), wishes=may("qwen"), fallback=False)) == [f"qwen/{OWN['qwen']}"]

    def test_a_task_type(self) -> None:
        """Its list narrows what a user may have, and binds no other task type."""
        wishes = Wishes(allowed=Allowed(targets("claude", "qwen"), {SYSTEM: targets("qwen", "kimi_k2")}))
        made = plan(SYSTEM, use=config(ALL), wishes=wishes)
        assert names(made) == ["qwen"]
        assert names(plan(use=config(ALL), wishes=wishes)) == ["claude", "qwen"]
        with pytest.raises(AccessDenied):
            plan(SYSTEM, use=config(ALL), wishes=wishes, provider="claude")

    @pytest.mark.parametrize(
        "options",
        [
            {"provider": "deepseek"},
            {"provider": "deepseek", "fallback": True},
            {"provider": "claude", "model": "claude-sonnet-5-5"},
            {"provider": "qwen", "model": "qwen-max-9"},
            {"model": "claude-opus-5-5"},
        ],
    )
    def test_who_is_named_and_not_allowed(self, options: dict[str, Any]) -> None:
        """AccessDenied, by its cause and provider; nobody else answers instead."""
        with pytest.raises(AccessDenied) as caught:
            plan(use=config(ALL), wishes=may("claude/claude-haiku-5-5", f"qwen/{OWN['qwen']}", "kimi_k2"), **options)
        provider = options.get("provider", "claude")
        assert caught.value.details == {"cause": "not_allowed", "provider": provider}

    def test_nobody_is_allowed(self) -> None:
        """AccessDenied, without a word of keys that an administrator would have to set."""
        with pytest.raises(AccessDenied) as caught:
            plan(wishes=may())
        assert caught.value.details["cause"] == "not_allowed"
        assert "claude" in str(caught.value.details["left_out"]).split(",")

    def test_a_model_that_several_have(self) -> None:
        """By its name alone it is whom of them the user may have, and does not exclude."""
        twin = dataclasses.replace(config(ALL).providers["claude"], name="gateway")
        use = config(ALL, gateway=twin)
        for wishes in (
            may("gateway"),
            excluding("claude"),
            may("claude", "gateway", excluded=frozenset(targets("claude"))),
        ):
            made = plan(use=use, wishes=wishes, model="claude-sonnet-5-5")
            assert chosen(made) == ["gateway/claude-sonnet-5-5"]
        assert names(plan(use=use, wishes=excluding("claude", "gateway"), model="claude-sonnet-5-5")) == ["claude"]

    def test_a_session_moves(self) -> None:
        """Who answered it and is allowed no more does not any longer."""
        for wishes in (may("qwen"), excluding("claude")):
            made = plan(use=config(ALL), wishes=dataclasses.replace(wishes, sticky=Target("claude")))
            assert "claude" not in names(made)

    def test_a_preference_that_was_allowed_once(self) -> None:
        """It is passed over: the operator's row decides, and the plan shows both."""
        made = plan(use=config(ALL), wishes=may("claude", "qwen", targets=prefers("kimi_k2")))
        assert names(made)[0] == "claude"
        assert made.reason == "user_chat goes to claude; kimi_k2 is not allowed to you (routing.allowed)"
        assert left_out(made)[f"kimi_k2/{OWN['kimi_k2']}"] == "is not allowed to you (routing.allowed)"
        made = plan(use=config(ALL), wishes=may("claude", "qwen", targets=prefers("kimi_k2", "qwen")))
        assert made.reason == "you prefer qwen for user_chat; kimi_k2 is not allowed to you (routing.allowed)"

    def test_the_machines_strategy_is_back_then(self) -> None:
        """Where no preference for the task type is left, the machine's strategy chooses as for anybody."""
        use = with_routing(strategy=Strategy.COST)
        for preferred, strategy in (("kimi_k2", Strategy.COST), ("qwen", Strategy.TABLE)):
            made = plan(use=use, wishes=may("claude", "qwen", targets=prefers(preferred)))
            assert made.strategy is strategy


class TestExcluded:
    def test_is_left_out_of_every_plan(self) -> None:
        """By provider and by model, with each strategy."""
        for strategy in Strategy:
            made = plan(
                use=config(ALL), wishes=excluding("kimi_k2", "claude/claude-sonnet-5-5"), strategy=strategy.value
            )
            assert "kimi_k2" not in names(made)
            assert "claude/claude-sonnet-5-5" not in chosen(made)
            assert left_out(made)["claude/claude-sonnet-5-5"] == "is excluded (your preferences)"

    def test_who_is_named_answers(self) -> None:
        """A call's own word stands above it, for that one alone, and the reason says so."""
        made = plan(use=config(ALL), wishes=excluding("kimi_k2", "qwen"), provider="kimi_k2", fallback=True)
        assert names(made)[0] == "kimi_k2"
        assert made.reason == "provider kimi_k2 was asked for, though you have excluded it"
        assert "qwen" not in names(made)

    def test_everybody(self) -> None:
        """NoProviderAvailable says whose doing it is."""
        with pytest.raises(NoProviderAvailable):
            plan(wishes=excluding(*config().providers))

    def test_is_checked(self) -> None:
        """A list of targets, each once, of providers that there are; nobody who is preferred."""
        providers = config().providers
        wishes = {"excluded": ["qwen", "claude/claude-opus-5-5", "qwen"]}
        assert parse_preferences(wishes, providers) == {"excluded": ("qwen", "claude/claude-opus-5-5")}
        assert parse_preferences({"excluded": []}, providers) == {}
        for wrong in ("qwen", [1], ["qwen,claude"], ["claude/"], ["qwen"] * 65, [""]):
            with pytest.raises(InvalidArgument):
                parse_preferences({"excluded": wrong}, providers)
        with pytest.raises(UnknownProvider):
            parse_preferences({"excluded": ["cloud"]}, providers)
        for preferred in ("qwen", "claude,qwen/qwen-max"):
            with pytest.raises(InvalidArgument):
                parse_preferences({"excluded": ["qwen"], "providers": {"user_chat": preferred}}, providers)
        both = {"excluded": ["claude/claude-opus-5-5"], "providers": {"user_chat": "claude"}}
        assert set(parse_preferences(both, providers)) == {"excluded", "providers"}


class TestNoWayRound:
    @pytest.mark.parametrize("seed", range(200))
    def test_whatever_the_lists(self, seed: int) -> None:
        """No plan and no downgrade has what is not allowed or excluded, whatever rows, wishes and options there are."""
        random, use = Random(seed), config({**ALL, "GROQ_API_KEY": "g"})
        catalog = catalog_of(use)
        every = [Target(name, model) for name in use.providers for model in known_models(use, name)]
        every += [Target(name) for name in use.providers]

        def some(most: int) -> tuple[Target, ...]:
            return tuple(random.sample(every, random.randint(0, most)))

        allowed = Allowed(random.choice((None, some(6))), {CHAT: some(8)} if random.random() < 0.3 else {})
        wishes = Wishes(
            {CHAT: some(3)} if random.random() < 0.5 else {},
            random.choice((None, *Strategy)),
            sticky=random.choice((None, *every)),
            excluded=frozenset(some(4)),
            allowed=allowed,
        )
        row = {CHAT: some(3) or targets("claude")}
        use = dataclasses.replace(use, routing=dataclasses.replace(use.routing, table=row))
        options: dict[str, Any] = {"fallback": random.choice((True, False)), "max_tokens": 100}
        named = random.choice(every) if random.random() < 0.3 else None
        if named is not None:
            options |= {"provider": named.provider} | ({"model": named.model} if named.model else {})
        asked = question(**options)
        try:
            made = plan_route(asked, use, catalog, Health(), wishes=wishes)
        except (AccessDenied, NoProviderAvailable):
            full = Target(named.provider, named.model or use.providers[named.provider].model) if named else None
            assert full is None or allowed.obstacle(CHAT, full)
            return
        cheaper = downgrade(made, asked, use, catalog, Health(), from_usd("0.01"))
        for item in (*made.candidates, *(cheaper.candidates if cheaper else ())):
            assert not allowed.obstacle(CHAT, item.target)
            pinned = made.pinned and item == made.candidates[0]
            assert pinned or not covered(item.target, wishes.excluded)


def known_models(use: Config, provider: str) -> list[str]:
    known = [model.id for model in catalog_of(use).models_of(provider)]
    return list(dict.fromkeys([use.providers[provider].model, *known]))


def with_routing(**routing: Any) -> Config:
    use = config(ALL)
    return dataclasses.replace(use, routing=dataclasses.replace(use.routing, **routing))
