"""What servers said of their models, under the operator's word and over the catalogue's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cortexd.catalog import Said, builtin_catalog, with_said
from cortexd.config import Config, Secret
from cortexd.config.settings import ModelSettings, ProviderSettings
from cortexd.domain.messages import Strategy
from cortexd.domain.served import ServedModel
from cortexd.domain.targets import Target
from cortexd.errors import UNSUITED, NoProviderAvailable
from cortexd.routing import Wishes
from tests.unit.routes import config, plan

SERVER = ProviderSettings("office", "openai", "http://127.0.0.1:1/v1", "*", local=True)
AT = datetime(2026, 11, 23, tzinfo=UTC)


def hearing(settings: ProviderSettings, *models: ServedModel | str) -> Config:
    said = Said(tuple(ServedModel(model) if isinstance(model, str) else model for model in models), AT)
    return with_said(config(office=settings), {"office": said}, builtin_catalog())


def heard(settings: ProviderSettings, *models: ServedModel | str) -> ProviderSettings:
    return hearing(settings, *models).providers["office"]


def contexts(settings: ProviderSettings) -> dict[str, int | None]:
    return {name: model.context_tokens for name, model in settings.models.items()}


class TestAnyModel:
    def test_the_first_is_its_own(self) -> None:
        """All can be chosen; nobody else's settings change."""
        found = heard(SERVER, ServedModel("a", 10), "b")
        assert (found.model, contexts(found)) == ("a", {"a": 10, "b": None})

    def test_a_loaded_one_goes_first(self) -> None:
        """Another would have to be loaded for a call that named none."""
        assert heard(SERVER, ServedModel("a", loaded=False), "b", ServedModel("c", loaded=True)).model == "c"

    def test_what_does_not_chat(self) -> None:
        """Embeddings and the like are not chosen, unless there is nothing else."""
        assert heard(SERVER, "nomic-embed-text", "whisper-1", "m").models.keys() == {"m"}
        assert heard(SERVER, "nomic-embed-text").model == "nomic-embed-text"

    @pytest.mark.parametrize(
        ("asked", "reason"), [(True, "has no models"), (False, "has not said yet which models it has")]
    )
    def test_none_at_all(self, asked: bool, reason: str) -> None:
        """Who has none, or has not said it yet, is left out, and the plan says which it is."""
        use = hearing(SERVER) if asked else config(office=SERVER)
        left = plan(use=replace(use, routing=replace(use.routing, strategy=Strategy.COST))).left_out
        assert [item.reason for item in left if item.provider == "office"] == [reason]
        with pytest.raises(NoProviderAvailable, match=reason) as alone:
            plan(use=use, provider="office")
        assert alone.value.details.get("cause") == (UNSUITED if asked else None)  # it may say it when asked again


class TestRouting:
    def test_every_model_can_be_chosen(self) -> None:
        """By a strategy, and by whoever names it; "*" is the own one wherever it stands."""
        use = hearing(SERVER, "a", "b")
        ranked = [item.target for item in plan(use=use, strategy="cost").candidates]
        assert ranked[:2] == [Target("office", "a"), Target("office", "b")]
        assert plan(use=use, model="b").candidates[0].target == Target("office", "b")
        assert plan(use=use, provider="office", model="*").candidates[0].target == Target("office", "a")

    def test_a_session_whose_model_is_gone(self) -> None:
        """It stays with the provider, and takes what that has now."""
        stays = Wishes(sticky=Target("office", "old"))
        assert plan(use=hearing(SERVER, "new"), wishes=stays).candidates[0].target == Target("office", "new")

    @pytest.mark.parametrize(("asked", "prompt", "sent"), [(100_000, 400, 3996), (5, 400, 5), (100, 20_000, 1)])
    def test_no_answer_beyond_the_context(self, asked: int, prompt: int, sent: int) -> None:
        """What is left of it beside the prompt bounds what is asked for; nobody's wish stays nobody's."""
        use = hearing(SERVER, ServedModel("a", 4096))
        made = plan(content="x" * prompt, use=use, provider="office", max_tokens=asked)
        assert made.candidates[0].max_tokens == sent
        assert plan(use=use, provider="office").candidates[0].max_tokens is None


class TestNamedModels:
    def test_only_what_is_declared_is_used(self) -> None:
        """The server's other models are nobody's choice."""
        named = replace(SERVER, model="a", models={"b": ModelSettings()})
        found = heard(named, ServedModel("a", 10), ServedModel("b", 20), ServedModel("c", 30))
        assert (found.model, contexts(found)) == ("a", {"a": 10, "b": 20})

    def test_a_server_that_takes_any_name(self) -> None:
        """Where it has one model alone, that one's context is the named one's."""
        named = replace(SERVER, model="mine")
        assert contexts(heard(named, ServedModel("/models/a.gguf", 10))) == {"mine": 10}
        assert contexts(heard(named, ServedModel("a", 10), ServedModel("b", 20))) == {}

    @pytest.mark.parametrize(("written", "stands"), [(None, 10), (7, 7)])
    def test_the_operators_word(self, written: int | None, stands: int) -> None:
        """It stands above the server's."""
        named = replace(SERVER, model="a", models={"a": ModelSettings(context_tokens=written, output_tokens=3)})
        found = heard(named, ServedModel("a", 10, 5))
        assert found.models["a"] == ModelSettings(context_tokens=stands, output_tokens=3)

    @pytest.mark.parametrize(("local", "stands"), [(True, 10), (False, None)])
    def test_the_catalogues_word(self, local: bool, stands: int | None) -> None:
        """A server of one's own may have given a known model less room; a vendor's list says nothing better."""
        settings = replace(SERVER, preset="kimi_k2", local=local, key=Secret("k"))
        found = heard(settings, ServedModel("kimi-k2.6", 10))
        assert contexts(found) == {"kimi-k2.6": stands}
        catalog = builtin_catalog().with_settings({"office": found})
        assert (catalog.model("office", "kimi-k2.6").context_tokens == 10) is local
