r"""What secrets look like: one row for each way. The order decides which kind a text that fits two of them has.

How to write a row: every match begins with one of the literals, and what follows is bounded. A lookbehind excludes the
characters of a long repeat, so that no run of them is read twice. A repeat of one class is possessive, no group is:
Python 3.11.2 gets that wrong. `secret` names the group that is the secret, where it is not the whole match.
`\\[nrt]` and `\\"` are for texts that stand inside JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cortexd.privacy.plausible import anything, mixed, password, stands_for_itself

LONGEST = 16 * 1024
"""Characters of the longest match: a private key of 16,384 bits is 12 KiB."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`literals`: what matches begin with, in small letters. `source`: who says that it looks so. `plausible`: what the
    pattern alone cannot tell."""

    kind: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    source: str
    plausible: Callable[[re.Match[str]], bool] = anything


def _rule(
    kind: str, literals: str, pattern: str, source: str, plausible: Callable[[re.Match[str]], bool] = anything
) -> Rule:
    return Rule(kind, tuple(literals.lower().split("|")), re.compile(pattern), source, plausible)


_B64 = "A-Za-z0-9+/"
_SPACE = r"(?:\s|\\[nrt])"
_PEM = r"-----BEGIN (?:[A-Z0-9]{2,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_BODY = r"[^-]{0,16000}+(?:-(?!----)[^-]{0,16000}+){0,64}"
_PEM_END = r"-----END [A-Z0-9 ]{0,40}+-----"
_LINE_END = r"(?:\r?\n|\\r?\\n|\\n)[ \t]{0,16}+"
_LINE = rf"(?:[{_B64}]{{16,128}}+={{0,2}}+|[{_B64}]{{2,15}}={{1,2}})"
_RUN = rf"[{_B64}]{{40,8192}}+={{0,2}}+(?:{_LINE_END}{_LINE}){{0,250}}"
_ASSIGNED = r"""(?:\\?["'])?[ \t]{0,4}+(?P<sign>:=|=>|[=:])[ \t]{0,4}+(?:(?P<inner>\\["'])|(?P<quote>["'`]))?"""
_QUOTED = r"""(?:[^\s"'`\\]|\\[^nrt]){6,200}"""
_BARE = r"""(?:[^\s"'`\\,;&<>]|&(?![A-Za-z0-9_.]{1,32}=)){6,200}"""
_VALUE = rf"""(?P<secret>(?(inner)[^\s"'`\\]{{6,200}}+|(?(quote){_QUOTED}|{_BARE})))"""
_USER = r"""[^\s:/?#@"'<>\\]{0,128}+"""
_USERS_WORD = r"""(?P<secret>[^\s/?#@"'<>\\]{3,256}+)@"""
_AUTHORIZATION = r"""(?<![A-Za-z0-9])(?i:authorization)(?:\\?["'])?[ \t]{0,4}+[:=][ \t]{0,4}+(?:\\?["'])?"""

RULES: tuple[Rule, ...] = (
    _rule(
        "private_key",
        "-----BEGIN ",
        rf"{_PEM}(?:{_PEM_BODY}{_PEM_END}|{_SPACE}{{0,4}}(?=[{_B64}]{{40}}){_RUN})",
        "RFC 7468, RFC 4880 6.2, OpenSSH's PROTOCOL.key",
    ),
    _rule(
        "putty_key",
        "Private-Lines:",
        rf"Private-Lines: ?[0-9]{{1,4}}+{_SPACE}{{1,4}}(?P<secret>{_RUN})",
        "PuTTY manual, appendix C",
    ),
    _rule(
        "age_key",
        "AGE-SECRET-KEY-1",
        r"(?<![A-Za-z0-9-])AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}(?![A-Z0-9])",
        "age-encryption.org/v1",
    ),
    _rule(
        "aws_access_key_id",
        "AKIA|ASIA",
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])",
        "AWS IAM user guide, unique identifiers",
    ),
    _rule(
        "aws_secret_key",
        "aws_secret|aws-secret|secretaccesskey|secret_access_key",
        rf"(?i:aws_secret(?:_access)?_key|aws-secret-access-key|secretaccesskey|secret_access_key){_ASSIGNED}"
        rf"(?P<secret>[{_B64}]{{40}})(?![{_B64}=])",
        "AWS CLI user guide, configuration files",
        mixed,
    ),
    _rule(
        "github_token",
        "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_",
        r"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})(?![A-Za-z0-9_])",
        "GitHub docs, about authentication to GitHub",
    ),
    _rule(
        "gitlab_token",
        "glpat-|gldt-|glrt-|glptt-|gloas-|glft-|glsoat-|glcbt-|glagent-",
        r"(?<![A-Za-z0-9_-])gl(?:pat|dt|rt|ptt|oas|ft|soat|cbt|agent)-[A-Za-z0-9_.-]{20,300}+",
        "GitLab docs, token overview",
    ),
    _rule(
        "slack_token",
        "xox|xapp-|hooks.slack.com/",
        r"(?<![A-Za-z0-9-])(?:xox[abprs]-[A-Za-z0-9-]{20,250}+|xoxe[.-][A-Za-z0-9.-]{20,300}+|xapp-[A-Za-z0-9-]{20,250}+)"
        r"|hooks\.slack\.com/(?P<secret>(?:services|workflows|triggers)/[A-Za-z0-9/]{20,200}+)",
        "Slack API docs, token types and incoming webhooks",
    ),
    _rule(
        "stripe_key",
        "sk_live_|rk_live_|sk_test_|rk_test_|whsec_",
        r"(?<![A-Za-z0-9_])(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}+|whsec_[A-Za-z0-9+/=]{32,100}+)",
        "Stripe docs, API keys and webhooks",
    ),
    _rule(
        "anthropic_key",
        "sk-ant-",
        r"(?<![A-Za-z0-9_-])sk-ant-[A-Za-z0-9_-]{32,250}+",
        "Anthropic's console, keys as made in 2026",
    ),
    _rule(
        "openai_key",
        "sk-",
        r"(?<![A-Za-z0-9_-])sk-(?:(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{32,300}+|[A-Za-z0-9]{32,128}+)"
        r"(?![A-Za-z0-9_-])",
        "OpenAI and OpenRouter, and who took the form from them: DeepSeek, Moonshot, DashScope",
    ),
    _rule(
        "google_key",
        "AIza|GOCSPX-|ya29.",
        r"(?<![A-Za-z0-9_-])(?:(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})(?![A-Za-z0-9_-])"
        r"|ya29\.[A-Za-z0-9_-]{30,2000}+)",
        "Google Cloud docs, API keys; Google identity, OAuth 2.0",
    ),
    _rule(
        "huggingface_token",
        "hf_",
        r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{34,40}+(?![A-Za-z0-9_])",
        "Hugging Face docs, user access tokens",
    ),
    _rule(
        "npm_token",
        "npm_",
        r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])",
        "GitHub blog, 2021-09-23, npm's token format",
    ),
    _rule("pypi_token", "pypi-AgE", r"(?<![A-Za-z0-9_-])pypi-AgE[A-Za-z0-9_-]{50,1000}+", "PyPI help, API tokens"),
    _rule(
        "azure_key",
        "AccountKey=|SharedAccessKey=",
        rf"(?i:AccountKey|SharedAccessKey)=(?P<secret>[{_B64}]{{43,86}}+={{1,2}}+)",
        "Azure docs, connection strings",
    ),
    _rule(
        "other_token",
        "dop_v1_|dckr_pat_|SG.|glsa_|shpat_|rubygems_|ATATT3|lin_api_|hvs.|dapi|gsk_|xai-|r8_|nvapi-",
        r"(?<![A-Za-z0-9_-])(?:dop_v1_[0-9a-f]{64}|dckr_pat_[A-Za-z0-9_-]{27}|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"
        r"|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|shpat_[0-9a-f]{32}|rubygems_[0-9a-f]{48}|ATATT3[A-Za-z0-9_=-]{60,250}+"
        r"|lin_api_[A-Za-z0-9]{40}|hvs\.[A-Za-z0-9_-]{24,200}+|dapi[0-9a-f]{32}|gsk_[A-Za-z0-9]{52}"
        r"|xai-[A-Za-z0-9]{70,100}+|r8_[A-Za-z0-9]{37}|nvapi-[A-Za-z0-9_-]{64})(?![A-Za-z0-9_-])",
        "the token pages of DigitalOcean, Docker, SendGrid, Grafana, Shopify, RubyGems, Atlassian, Linear, Vault, "
        "Databricks, Groq, xAI, Replicate, NVIDIA",
    ),
    _rule(
        "jwt",
        "eyJ",
        r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{10,2000}+\.eyJ[A-Za-z0-9_-]{10,8000}+\.[A-Za-z0-9_-]{16,2000}+",
        "RFC 7519",
    ),
    _rule(
        "basic_auth",
        "authorization",
        rf"{_AUTHORIZATION}(?i:basic)[ \t]{{1,4}}+(?P<secret>[{_B64}]{{8,1000}}+={{0,2}}+)",
        "RFC 7617",
    ),
    _rule(
        "bearer_token",
        "authorization",
        rf"{_AUTHORIZATION}(?i:bearer)[ \t]{{1,4}}+(?P<secret>[A-Za-z0-9._~+/-]{{16,4000}}+={{0,2}}+)",
        "RFC 6750",
        mixed,
    ),
    _rule(
        "database_url",
        "postgres|mysql|mariadb|mongodb|redis|amqp|mssql|sqlserver|clickhouse|cockroachdb",
        rf"(?<![A-Za-z0-9+.-])[A-Za-z0-9]{{4,16}}+(?:\+[A-Za-z0-9]{{1,16}}+)?://{_USER}:{_USERS_WORD}",
        "RFC 3986 3.2.1; connection strings of libpq, SQLAlchemy, MongoDB, Redis",
        stands_for_itself,
    ),
    _rule(
        "url_password",
        "://",
        rf"(?<=[A-Za-z0-9])://{_USER}:{_USERS_WORD}",
        "RFC 3986 3.2.1",
        stands_for_itself,
    ),
    _rule(
        "password_hash",
        ":$",
        r"(?<=[A-Za-z0-9_.-]):(?P<secret>\$(?:1|2[aby]|5|6|7|y|gy|apr1)\$[./A-Za-z0-9$=,]{16,256}+)",
        "shadow(5), crypt(5), Apache's htpasswd",
    ),
    _rule(
        "netrc",
        "machine ",
        rf"(?<![A-Za-z0-9])machine[ \t]{{1,8}}+[^\s\\]{{1,255}}+{_SPACE}{{1,8}}login{_SPACE}{{1,8}}[^\s\\]{{1,128}}+"
        rf"{_SPACE}{{1,8}}password{_SPACE}{{1,8}}(?P<secret>[^\s\\\"]{{3,128}}+)",
        "netrc(5), curl(1)",
        stands_for_itself,
    ),
    _rule(
        "docker_auth",
        '"auth',
        rf"\"auth\\?\"\s{{0,4}}+:\s{{0,4}}+\\?\"(?P<secret>[{_B64}]{{12,1000}}+={{0,2}}+)",
        "docker login's config.json",
    ),
    _rule(
        "wireguard_key",
        "PrivateKey|PresharedKey",
        rf"(?<![A-Za-z])(?:PrivateKey|PresharedKey)[ \t]{{0,4}}+=[ \t]{{0,4}}+(?P<secret>[{_B64}]{{43}}=)",
        "wg(8)",
    ),
    _rule(
        "command_password",
        "--password|--passwd|--passphrase|--token|--http-password|--proxy-password|sshpass|--user|-u ",
        r"(?<![A-Za-z0-9-])(?:--(?:password|passwd|passphrase|token|http-password|proxy-password)[ \t=]{1,2}+"
        r"|sshpass[ \t]{1,4}+-p[ \t]{0,2}+|(?:--user|-u)[ \t=]{1,2}+(?:\\?[\"'])?[A-Za-z0-9_.@-]{1,64}+:)"
        r"(?:\\?[\"'])?(?!-)(?P<secret>[^\s\"'`\\;|&<>]{6,200}+)",
        "curl(1), mysql(1), sshpass(1)",
        stands_for_itself,
    ),
    _rule(
        "password",
        'password|passwd|passphrase|passwort|pwd|pass=|pass:|pass"',
        rf"(?i:password|passwd|passphrase|passwort|pwd|(?<![a-z])pass){_ASSIGNED}{_VALUE}",
        "the usual names in .env files, YAML, JSON, INI and code",
        password,
    ),
    _rule(
        "api_secret",
        "key|secret|token",
        r"(?i:(?<=api)key|(?<=api[_-])key|(?<=access[_-])key|(?<=secret[_-])key|(?<=auth[_-])key|secret|token)"
        rf"{_ASSIGNED}(?P<secret>[A-Za-z0-9_./+=~-]{{16,500}}+)(?![(\[])",
        "the usual names in .env files, YAML, JSON, INI and code",
        mixed,
    ),
)
KINDS = tuple(rule.kind for rule in RULES)
