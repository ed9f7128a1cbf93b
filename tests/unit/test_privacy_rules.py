"""The rules that find secrets: what each finds, what it lets pass, and that none takes long over any text."""

from __future__ import annotations

from random import Random

import pytest

from cortexd.privacy import Findings, look_through
from cortexd.privacy.findings import WINDOW
from cortexd.privacy.rules import KINDS, RULES, Rule
from cortexd.privacy.texts import Texts
from tests.secrets_made import HARMLESS, MAKERS, with_secrets, without_secrets
from tests.unit.regex_steps import Steps

SEEDS = range(5)
_STEPS_PER_CHARACTER = 25  # what went back over its own way would need hundreds on these texts


def found(text: str, *, in_json: bool = False) -> dict[str, str]:
    findings = Findings()
    list(look_through(Texts([], [text]) if in_json else Texts([text], []), findings))
    return findings.kinds


each_rule = pytest.mark.parametrize("rule", RULES, ids=KINDS)


class TestRules:
    def test_every_kind_is_made(self) -> None:
        """No rule without its examples, and every one says where it comes from."""
        assert set(KINDS) == set(MAKERS)
        assert len(set(KINDS)) == len(KINDS) >= 20
        assert all(rule.source and rule.literals for rule in RULES)
        assert all(literal == literal.lower() for rule in RULES for literal in rule.literals)

    @each_rule
    def test_it_finds_its_secrets(self, rule: Rule) -> None:
        """The secret and no more of the text, at a text's ends and amid others."""
        for seed in range(20):
            made = MAKERS[rule.kind](Random(seed))
            for text in (made.text, f"see:\n{made.text}\nthere", f"«{made.text}»" if rule.kind == "jwt" else made.text):
                assert found(text).get(made.secret) == rule.kind, text

    @each_rule
    def test_near_misses(self, rule: Rule) -> None:
        """A literal alone, one character too few, a word that goes on: nothing is a secret by its first letters."""
        for literal in rule.literals:
            for text in (
                literal,
                literal.upper(),
                f"{literal}: see the manual",
                f"the {literal} of a thing",
                f"{literal} {literal}",
            ):
                assert found(text) == {}, text
        token = MAKERS[rule.kind](Random(1)).secret
        if rule.kind in (
            "github_token",
            "npm_token",
            "google_key",
            "aws_access_key_id",
            "huggingface_token",
            "age_key",
        ):
            assert found(f"see {token[:-1]} here") == {}
            assert found(f"see x{token} here") == {}

    @pytest.mark.parametrize("number", range(len(HARMLESS)))
    def test_what_looks_like_one(self, number: int) -> None:
        """Hashes, public keys, templates, code and manuals are none."""
        for seed in range(20):
            text = HARMLESS[number](Random(seed))
            assert found(text) == {}, text

    def test_rates(self) -> None:
        """On a set made by tests/secrets_made.py: run with -s to see the figures that docs/privacy.md states."""
        missed: list[str] = []
        false: list[str] = []
        for seed in SEEDS:
            missed += [made.kind for made in with_secrets(seed, 250) if made.secret not in found(made.text)]
            false += [text for text in without_secrets(seed, 250) if found(text)]
        each = 250 * len(SEEDS)
        print(f"\nmissed {len(missed)} of {each} ({missed}), false alarms {len(false)} of {each}")
        assert len(missed) <= each // 100
        assert len(false) <= each // 100


class TestJson:
    def test_escapes_are_undone(self) -> None:
        """A secret is the same in JSON, however that is escaped there."""
        assert found('{"password": "a\\"b\\\\c9d"}', in_json=True) == {'a"b\\c9d': "password"}
        key = MAKERS["private_key"](Random(3)).secret
        escaped = key.replace("\n", "\\n")
        assert found(f'{{"text": "{escaped}"}}', in_json=True) == {key: "private_key"}

    def test_what_is_no_json(self) -> None:
        """Half an escape and an open string are looked at as they are."""
        for text in ('{"password": "abc123\\', '"\\', '{"password": "\\ud800abcdef1"}'):
            found(text, in_json=True)


class TestLongTexts:
    def test_wherever_it_stands(self) -> None:
        """At the edges of the windows in which a text is looked through, each secret is found whole."""
        for kind in ("private_key", "github_token", "password", "jwt"):
            made = MAKERS[kind](Random(2))
            for edge in (WINDOW, 2 * WINDOW):
                for before in (-len(made.text), -len(made.text) // 2, -8, -1, 0, 1):
                    text = f"{'. ' * ((edge + before) // 2)}\n{made.text}\n{'. ' * 100}"
                    assert found(text) == {made.secret: kind}

    def test_a_step_is_a_window(self) -> None:
        """However long the text, others have a turn after each window of it."""
        text = "no secret here. " * (8 * 1024 * 1024 // 16)
        assert sum(1 for _ in look_through(Texts([text], []), Findings())) == len(text) // WINDOW

    def test_letters_whose_small_form_is_longer(self) -> None:
        """A dotted capital I moves nothing."""
        made = MAKERS["github_token"](Random(4))
        assert found("\u0130" * 1000 + " " + made.text) == {made.secret: "github_token"}

    @each_rule
    def test_steps_are_bounded(self, rule: Rule) -> None:
        """Whatever the text repeats, all matches that are tried take steps in proportion to its length: counted by an
        interpreter of the same pattern, which agrees with `re`."""
        for text in adversarial(rule):
            steps = Steps(rule.pattern, text)
            for literal in rule.literals:
                at = text.lower().find(literal)
                while at >= 0:
                    known = rule.pattern.match(text, at)
                    end = steps.match(at)
                    assert end == (known.end() if known else -1), (text[at : at + 60], end, known)
                    at = text.lower().find(literal, max(end, at + 1))
            assert steps.count <= _STEPS_PER_CHARACTER * len(text), text[:60]


def adversarial(rule: Rule) -> list[str]:
    """Texts that begin a match over and over, with whatever a repeat of it could take between."""
    made, texts = [MAKERS[rule.kind](Random(seed)).text for seed in range(20)], []
    as_written = {
        text[at : at + len(literal)]
        for text in made
        for literal in rule.literals
        if (at := text.lower().find(literal)) >= 0
    }
    for start in sorted({*rule.literals, *as_written, made[0][: len(made[0]) * 2 // 3], made[0][:-1]}):
        for filler in ("", "a", "A1", "=", ": ", "-", "\\n", '"', ":a", "a.", "&a", " a b"):
            texts.append((start + filler) * (1200 // (len(start) + len(filler)) + 1))
        texts += [start + filler * 600 for filler in ("a", "A", "1", "-", "=", "\\n", " ", "a.", ":a", "A1/", "&a=")]
    return texts
