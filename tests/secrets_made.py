"""Made-up secrets of every kind, in the texts where they are met, and texts that only look like it. No secret is real,
and none stands in this file: each is put together when it is wanted."""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_LETTERS = string.ascii_letters
_B64 = string.ascii_letters + string.digits + "+/"
_URL64 = string.ascii_letters + string.digits + "-_"
_ALNUM = string.ascii_letters + string.digits
_BASE32 = string.ascii_uppercase + "234567"
_HEX = "0123456789abcdef"
_WORDS = re.findall(
    r"\w+",
    "install the package and restart the service when the kernel module is loaded please check why this host cannot "
    "reach the mirror after the upgrade of the driver on node seven it worked yesterday with the same settings",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A text; `secret` stands in it and is of `kind`, or is empty."""

    kind: str
    text: str
    secret: str


def of(random: Random, alphabet: str, length: int) -> str:
    return "".join(random.choices(alphabet, k=length))


def mixed(random: Random, length: int, alphabet: str = _ALNUM) -> str:
    """With a digit and a letter."""
    return of(random, alphabet, length - 2) + random.choice(string.digits) + random.choice(_LETTERS)


def prose(random: Random, words: int = 6) -> str:
    return " ".join(random.choices(_WORDS, k=words))


def pem(random: Random, label: str, lines: int = 6) -> str:
    body = "\n".join(of(random, _B64, 64) for _ in range(lines))
    return f"-----BEGIN {label}-----\n{body}\n{of(random, _B64, 30)}==\n-----END {label}-----"


def passwords(random: Random) -> str:
    """As people and machines choose them."""
    return random.choice(
        (
            lambda: of(random, _LETTERS + string.digits + "!#%^*-_+.", 14),
            lambda: random.choice(_WORDS).title() + of(random, string.digits, 4) + "!",
            lambda: random.choice(("Tr0ub4dor", "P@ssw0rd", "S0mmer")) + of(random, _ALNUM, 3),
            lambda: of(random, _HEX, 32),
        )
    )()


def _segment(random: Random, value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _jwt(random: Random) -> str:
    claims: dict[str, object] = {"sub": of(random, string.digits, 8), "iat": 1}
    return ".".join((_segment(random, {"alg": "HS256"}), _segment(random, claims), of(random, _URL64, 43)))


def _putty(random: Random) -> tuple[str, str]:
    body = "\n".join(of(random, _B64, 64) for _ in range(3))
    return f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 3\n{body}", body


def _shadow(random: Random) -> tuple[str, str]:
    hashed = f"${random.choice('56y')}${of(random, _ALNUM, 12)}${of(random, _ALNUM + './', 60)}"
    return f"alice:{hashed}:19700:0:99999:7:::", hashed


def _plain(kind: str, make: Callable[[Random], str]) -> Callable[[Random], Made]:
    """A token that is known by itself, wherever it stands."""

    def made(random: Random) -> Made:
        secret = make(random)
        form = random.choice(
            ("{}", "export TOKEN={}", 'curl -H "X-Token: {}"', '{{"value": "{}"}}', "key `{}` leaked", "{}\n")
        )
        return Made(kind, form.format(secret), secret)

    return made


def _within(kind: str, make: Callable[[Random], str], *forms: str) -> Callable[[Random], Made]:
    """A secret that only its surroundings tell."""

    def made(random: Random) -> Made:
        secret = make(random)
        return Made(kind, random.choice(forms).replace("@@", secret), secret)

    return made


def _whole(kind: str, make: Callable[[Random], tuple[str, str]]) -> Callable[[Random], Made]:
    return lambda random: Made(kind, *make(random))


MAKERS: dict[str, Callable[[Random], Made]] = {
    "private_key": _plain(
        "private_key",
        lambda r: pem(
            r,
            r.choice(
                (
                    "RSA PRIVATE KEY",
                    "PRIVATE KEY",
                    "EC PRIVATE KEY",
                    "OPENSSH PRIVATE KEY",
                    "ENCRYPTED PRIVATE KEY",
                    "PGP PRIVATE KEY BLOCK",
                )
            ),
        ),
    ),
    "putty_key": _whole("putty_key", _putty),
    "age_key": _plain("age_key", lambda r: "AGE-SECRET-KEY-1" + of(r, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "aws_access_key_id": _plain("aws_access_key_id", lambda r: r.choice(("AKIA", "ASIA")) + of(r, _BASE32, 16)),
    "aws_secret_key": _within(
        "aws_secret_key",
        lambda r: mixed(r, 40, _B64),
        "aws_secret_access_key = @@",
        'AWS_SECRET_ACCESS_KEY="@@"',
        '{"SecretAccessKey": "@@"}',
    ),
    "github_token": _plain("github_token", lambda r: r.choice(("ghp_", "gho_", "ghs_")) + of(r, _ALNUM, 36)),
    "gitlab_token": _plain("gitlab_token", lambda r: r.choice(("glpat-", "gldt-", "glrt-")) + of(r, _URL64, 20)),
    "slack_token": _plain("slack_token", lambda r: "xoxb-" + of(r, string.digits, 12) + "-" + of(r, _ALNUM, 24)),
    "stripe_key": _plain("stripe_key", lambda r: r.choice(("sk_live_", "rk_live_", "sk_test_")) + of(r, _ALNUM, 24)),
    "anthropic_key": _plain("anthropic_key", lambda r: "sk-ant-api03-" + of(r, _URL64, 93) + "AA"),
    "openai_key": _plain("openai_key", lambda r: r.choice(("sk-proj-", "sk-svcacct-", "sk-")) + of(r, _ALNUM, 48)),
    "google_key": _plain("google_key", lambda r: "AIza" + of(r, _URL64, 35)),
    "huggingface_token": _plain("huggingface_token", lambda r: "hf_" + of(r, _LETTERS, 34)),
    "npm_token": _plain("npm_token", lambda r: "npm_" + of(r, _ALNUM, 36)),
    "pypi_token": _plain("pypi_token", lambda r: "pypi-AgEIcHlwaS5vcmc" + of(r, _URL64, 140)),
    "azure_key": _within(
        "azure_key",
        lambda r: of(r, _B64, 86) + "==",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=@@;EndpointSuffix=core.windows.net",
    ),
    "other_token": _plain(
        "other_token",
        lambda r: r.choice(("dop_v1_" + of(r, _HEX, 64), "dckr_pat_" + of(r, _URL64, 27), "gsk_" + of(r, _ALNUM, 52))),
    ),
    "jwt": _plain("jwt", _jwt),
    "basic_auth": _within(
        "basic_auth",
        lambda r: of(r, _B64, 24) + "==",
        "Authorization: Basic @@",
        'curl -H "authorization: basic @@" https://host/',
    ),
    "bearer_token": _within(
        "bearer_token",
        lambda r: mixed(r, 40, _URL64),
        "Authorization: Bearer @@",
        '{"Authorization": "Bearer @@"}',
    ),
    "database_url": _within(
        "database_url",
        lambda r: mixed(r, 12),
        "postgres://app:@@@db.internal:5432/app",
        "DATABASE_URL=mysql+pymysql://root:@@@localhost/x",
        'url: "mongodb+srv://u:@@@cluster0.example.net/"',
        "redis://:@@@cache:6379/0",
    ),
    "url_password": _within(
        "url_password",
        lambda r: mixed(r, 12),
        "git clone https://bob:@@@git.example.org/x.git",
        "http://admin:@@@10.0.0.7:8080/metrics",
        "ftp://u:@@@files/",
    ),
    "password_hash": _whole("password_hash", _shadow),
    "netrc": _within(
        "netrc",
        lambda r: mixed(r, 10),
        "machine api.example.org login bob password @@",
        "machine ftp.example.org\n  login bob\n  password @@\n",
    ),
    "docker_auth": _within(
        "docker_auth",
        lambda r: of(r, _B64, 28) + "==",
        '{"auths": {"https://index.docker.io/v1/": {"auth": "@@"}}}',
    ),
    "wireguard_key": _within("wireguard_key", lambda r: of(r, _B64, 43) + "=", "[Interface]\nPrivateKey = @@\n"),
    "command_password": _within(
        "command_password",
        lambda r: mixed(r, 12),
        "curl -u admin:@@ https://host/",
        "sshpass -p @@ ssh root@host",
        "mysql --user root --password=@@ shop",
    ),
    "password": _within(
        "password",
        passwords,
        "password=@@",
        "DB_PASSWORD=@@",
        'password: "@@"',
        '{"user": "bob", "password": "@@"}',
        "PGPASSWORD='@@' psql",
        "passwd = @@",
        'conn(password="@@")',
        "the password: @@",
    ),
    "api_secret": _within(
        "api_secret",
        lambda r: mixed(r, 32),
        "API_KEY=@@",
        'api_key: "@@"',
        "client_secret = @@",
        '{"access_token": "@@"}',
        "SECRET_KEY='@@'",
        "x-api-key: @@",
    ),
}

HARMLESS: tuple[Callable[[Random], str], ...] = (
    lambda r: prose(r, 20),
    lambda r: f"commit {of(r, _HEX, 40)} broke it",
    lambda r: f"sha256:{of(r, _HEX, 64)}  package.deb",
    lambda r: f"id {of(r, _HEX, 8)}-{of(r, _HEX, 4)}-4{of(r, _HEX, 3)}-a{of(r, _HEX, 3)}-{of(r, _HEX, 12)}",
    lambda r: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{of(r, _B64, 43)} bob@host",
    lambda r: pem(r, r.choice(("CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST"))),
    lambda r: f"data:image/png;base64,{of(r, _B64, 200)}",
    lambda r: r.choice(
        ("password=${DB_PASSWORD}", "password: <your password>", "PASSWORD=changeme", "password = ********")
    ),
    lambda r: r.choice(
        (
            "def login(user, password: str) -> None:",
            "self.password = config.password",
            "password = getpass.getpass()",
            "if token is None: raise ValueError",
            "token = request.headers['X-Token']",
            "const apiKey = process.env.API_KEY;",
        )
    ),
    lambda r: r.choice(
        (
            "sudo: 3 incorrect password attempts",
            "Enter your password: then press return",
            "The secret of the token bucket",
            "Failed password for root from 10.0.0.7 port 4242 ssh2",
            "the password: choose one of twelve characters",
        )
    ),
    lambda r: r.choice(
        (
            "https://example.org:8443/path?user=bob@example.org",
            "git@github.com:org/repo.git",
            "ssh://git@host/repo",
            "http://localhost:3000/@scope/package",
            "postgres://localhost:5432/app",
            "deb http://mirror.example/debian bookworm",
        )
    ),
    lambda r: r.choice(("root:x:0:0:root:/root:/bin/bash", "alice:!:19700:0:99999:7:::", "bob:*:19700::::::")),
    lambda r: r.choice(
        (
            "-----BEGIN PRIVATE KEY----- is how such a file begins",
            "the token type is bearer",
            "keyboard: pc105 layout us",
            "sk-learn and task-runner-configuration-of-the-project",
            "api_key: required",
            "the AKIA prefix marks access keys",
        )
    ),
    lambda r: f'"integrity": "sha512-{of(r, _B64, 86)}=="',
    lambda r: f"token_count={r.randrange(10**6)} max_tokens: 4096 key=value secret: santa",
    lambda r: f'cache_key = "user:{r.randrange(1000)}:profile" primary key: id, foreign key: account_id',
    lambda r: (
        f"vmlinuz-6.1.0-{r.randrange(40)}-amd64 eyJ is how JSON in base64 begins; hf_hub_download, npm_config_prefix"
    ),
)


def with_secrets(seed: int, count: int) -> list[Made]:
    """`count` texts, each kind in its turn, the secret amid other words."""
    random = Random(seed)
    kinds = list(MAKERS)
    made = [MAKERS[kinds[number % len(kinds)]](random) for number in range(count)]
    return [Made(item.kind, f"{prose(random)}\n{item.text}\n{prose(random, 4)}", item.secret) for item in made]


def without_secrets(seed: int, count: int) -> list[str]:
    random = Random(seed)
    return [
        f"{prose(random)}\n{HARMLESS[number % len(HARMLESS)](random)}\n{prose(random, 4)}" for number in range(count)
    ]
