"""A request with placeholders for its secrets, the same one for the same secret wherever that stands."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Generator, Mapping, Sequence

from cortexd.privacy.findings import WINDOW, Findings
from cortexd.privacy.guard import PLACEHOLDER_DIGITS, PREFIX, Disguise
from cortexd.privacy.texts import Content, Texts, texts_of, with_texts

MOST_WORK = 2**30
"""Characters looked at, once for each secret: some seconds of a slow machine."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_PARTED = "\udfff\udfff"  # no mark: those begin with a high one
_HALF = 1024


class TooManySecrets(Exception):
    """So many in so long a text that to replace them all would hold up everybody."""


def put_on(content: Content, findings: Findings, key: bytes) -> Generator[None, None, Disguise]:
    """The content with a placeholder wherever one of the secrets stands, also where no rule found it; a step for each
    secret of a long one. `key` decides how placeholders look. Raises TooManySecrets."""
    texts = texts_of(content)
    if texts.size * len(findings.kinds) > MOST_WORK or len(findings.kinds) >= _HALF * (_HALF - 1):
        raise TooManySecrets
    secrets = {placeholder(secret, key): secret for secret in findings.kinds}
    numbers = {secret: number for number, secret in enumerate(secrets.values())}
    plain = yield from _marked(texts.plain, numbers)
    in_json = yield from _marked(texts.json, _forms(numbers, findings.escaped))
    row = list(secrets)
    named = yield from _named([*plain, *in_json], row)
    replaced = with_texts(content, Texts(named[: len(plain)], named[len(plain) :]))
    return Disguise(replaced.messages, replaced.tools, replaced.response_schema, secrets)


def placeholder(secret: str, key: bytes) -> str:
    """One word without a sign that JSON or Markdown would change: a model copies it as it is."""
    made = hmac.new(key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return PREFIX + made.hexdigest()[:PLACEHOLDER_DIGITS]


def _forms(numbers: Mapping[str, int], escaped: Mapping[str, str]) -> dict[str, int]:
    """The ways in which each secret can stand in JSON."""
    forms = {raw: numbers[secret] for raw, secret in escaped.items()}
    for secret, number in numbers.items():
        forms[json.dumps(secret)[1:-1]] = forms[json.dumps(secret, ensure_ascii=False)[1:-1]] = number
    return forms


def _marked(texts: Sequence[str], forms: Mapping[str, int]) -> Generator[None, None, list[str]]:
    """Each text with two lone surrogates, which say the number, in place of each form: what no text holds, so that no
    secret is found in what stands for another one. The longest first: one may hold another."""
    together = _PARTED.join(map(_without_surrogates, texts))
    waiting = 0
    for form in sorted(forms, key=len, reverse=True):
        number = forms[form]
        together = together.replace(form, chr(0xD800 + number // _HALF) + chr(0xDC00 + number % _HALF))
        waiting += len(together)
        if waiting >= WINDOW:
            waiting = 0
            yield
    return together.split(_PARTED) if texts else []


def _without_surrogates(text: str) -> str:
    """As it would leave anyway."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def _named(texts: Sequence[str], placeholders: Sequence[str]) -> Generator[None, None, list[str]]:
    """The texts with placeholders for marks, a window at a time."""
    named = []
    for text in texts:
        pieces, start = [], 0
        while start < len(text):
            end = start + WINDOW
            end += "\ud800" <= text[end - 1 : end] <= "\udbff"  # no mark in two
            pieces.append(_MARK.sub(lambda mark: placeholders[_number(mark)], text[start:end]))
            start = end
            if start < len(text):
                yield
        named.append("".join(pieces))
    return named


def _number(mark: re.Match[str]) -> int:
    return (ord(mark[1]) - 0xD800) * _HALF + ord(mark[2]) - 0xDC00
