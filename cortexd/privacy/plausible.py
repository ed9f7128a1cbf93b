"""Whether what stands where a secret would stand is one: most passwords in manuals and code are not."""

from __future__ import annotations

import re

_STANDING_IN = re.compile(
    r"(?i)^(?:\$[a-z_{(]|%[a-z({]|[<{\[]|\*{3}|•)|\(.*\)|\.\.\.|…|x{4}|\{\{|"
    r"^(?:your|my|the|some|an?|example|sample|dummy|fake|new|old)[_ -][a-z_ -]*$|[_-](?:here|goes|placeholder)$|"
    r"^(?:change_?me|password\d?|passwd|secret|redacted|required|optional|string|null|none|true|false|undefined|default|"
    r"hidden|empty|unset|example|placeholder|prompt|varchar|integer|boolean|process|environ|config|settings|value|token|"
    r"bearer|basic)[.,;:!?]*$"
)
_NAME_IN_CODE = re.compile(r"[A-Za-z]++[0-9]{0,2}+(?:[._][A-Za-z]++[0-9]{0,2}+)+,?$")
_WORD = re.compile(r"[A-Za-z][a-z]*+[.,;:!?]*+$")


def anything(_found: re.Match[str]) -> bool:
    return True


def stands_for_itself(found: re.Match[str]) -> bool:
    """No template and no stop-gap: not `<password>`, `${PASSWORD}`, `changeme` or `********`."""
    secret = found["secret"]
    return not _STANDING_IN.search(secret) and len(set(secret)) > 3


def password(found: re.Match[str]) -> bool:
    """The same; and where nothing quotes it no name in code (`self.password`) and no word of a sentence."""
    secret, quoted = found["secret"], bool(found["quote"] or found["inner"])
    if not stands_for_itself(found):
        return False
    if quoted:
        return True
    spoken = "=" not in found["sign"] and _WORD.match(secret)
    return not spoken and not _NAME_IN_CODE.match(secret)


def mixed(found: re.Match[str]) -> bool:
    """Letters and digits, as what a machine made has."""
    secret = found["secret"]
    return stands_for_itself(found) and any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))
