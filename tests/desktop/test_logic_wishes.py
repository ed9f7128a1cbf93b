"""Preferences as the window changes them, without a bus or a screen."""

from __future__ import annotations

import pytest
from cortex_llm_applet.logic import wishes
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.wishes import CHOICES, MACHINES
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.validation import parse_preferences

ENUMS = {"strategy": Strategy, "secrets": Secrets, "on_break": OnBreak, "learned": LearnedMode}
PROVIDERS = ("claude", "kimi_k2", "local")
ORDERS = st.lists(st.sampled_from([*PROVIDERS, "local/small"]), unique=True)


class TestChoices:
    @pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.key)
    def test_words_are_the_services(self, choice: wishes.Choice) -> None:
        """Each word that the service knows can be chosen, and no other."""
        assert set(choice.values) == {item.value for item in ENUMS[choice.key]}

    def test_newer_word_stays(self) -> None:
        """What a newer service calls its choice is shown and kept."""
        choice = CHOICES[0]
        assert choice.words({"strategy": "oracle"})[-1] == choice.text("oracle") == "oracle"
        assert choice.words({})[0] == MACHINES


class TestChanges:
    @given(ORDERS, ORDERS, st.booleans(), st.sampled_from(list(Strategy)))
    def test_service_takes_them(self, first: list[str], second: list[str], local: bool, strategy: str) -> None:
        """What is set one after the other is what the service reads out of it."""
        made = wishes.with_order({}, "user_chat", first)
        made = wishes.with_order(made, "code_generation", second)
        made = wishes.with_choice(wishes.with_local_only(made, local), "strategy", strategy)
        assert {key: value for key, value in parse_preferences(made, PROVIDERS).items() if value} == dict(made)
        assert wishes.order(made, "user_chat") == tuple(first)
        assert (wishes.local_only(made), wishes.chosen(made, "strategy")) == (local, strategy)

    def test_given_up(self) -> None:
        """What is given up is not set any more, so that the machine's holds."""
        made = wishes.with_choice(wishes.with_excluded({}, ["claude"]), "secrets", "local")
        made = wishes.with_order(made, "user_chat", ["claude"])
        made = wishes.with_excluded(wishes.with_choice(made, "secrets", MACHINES), [])
        assert wishes.with_order(made, "user_chat", []) == {}

    def test_others_are_kept(self) -> None:
        """What this window does not know is not lost when something else is changed."""
        assert wishes.with_local_only({"newer": "thing"}, True) == {"newer": "thing", "local_only": True}

    @pytest.mark.parametrize(
        ("index", "by", "after"),
        [(0, 1, "bac"), (2, -1, "acb"), (0, -1, "abc"), (2, 1, "abc"), (0, 2, "bca")],
    )
    def test_moved(self, index: int, by: int, after: str) -> None:
        """One goes up or down, and no further than the ends."""
        assert "".join(wishes.moved("abc", index, by)) == after

    def test_what_can_be_added(self) -> None:
        """Providers that have what they need, and their models, without those that are there already."""
        rows = [
            {"name": "claude", "configured": True, "models": ["opus", "haiku"]},
            {"name": "kimi_k2", "configured": False, "models": ["k2"]},
        ]
        assert wishes.targets(rows, ["claude/opus"]) == ("claude", "claude/haiku")


class TestFailures:
    def test_words_and_details(self) -> None:
        """A person reads the service's words, without the values that stand at their end for programs."""
        failure = Failure("org.freedesktop.DBus.Error.AccessDenied", "not for you [cause=not_allowed provider=claude]")
        assert (failure.words, failure.details) == ("not for you", {"cause": "not_allowed", "provider": "claude"})
        assert failure == "org.freedesktop.DBus.Error.AccessDenied"

    @pytest.mark.parametrize("name", ["", "org.cortexlinux.LLMRouter.Error.InvalidArgument", "com.example.New"])
    def test_next_step(self, name: str) -> None:
        """Each has one, also an error that is not known here; brackets within the words are words."""
        failure = Failure(name, "expected [a, b], got c")
        assert failure.step
        assert (failure.words, failure.details) == ("expected [a, b], got c", {})
