"""A router's providers: the built-in ones, OpenAI and Ollama, with keys and addresses from arguments or variables.

Each provider takes three keyword arguments, `PREFIX_api_key`, `PREFIX_base_url` and `PREFIX_model`. A key may be a list
of keys, apart by blanks, commas or semicolons. Ollama is configured only where an argument, or one of its variables,
asks for it. Only keys and OPENAI_MODEL are taken from other variables: what the SDKs read of addresses
(ANTHROPIC_BASE_URL, OPENAI_BASE_URL) does not count.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

from cortexd.config import Config, ProviderSettings, Secret, builtin_config
from cortexd.config.addresses import endpoint_address, parse_address, without_credentials
from cortexd.config.credentials import key_in
from cortexd.config.presets import presets
from cortexd.config.problems import Expectation
from cortexd.domain.close_words import close_words
from cortexd.errors import ConfigError
from cortexd.library.errors import InvalidRequestError
from cortexd.library.keys import split_keys
from cortexd.library.types import LLMProvider

# Beside the built-in ones. The catalogue knows no price of OpenAI's.
FURTHER_PROVIDERS = (
    dataclasses.replace(presets()["openai"].settings("openai"), model="gpt-4o-mini"),
    dataclasses.replace(presets()["ollama"].settings("ollama"), model="llama3.2", enabled=False),
)
_VARIABLES = {
    "ollama_base_url": "OLLAMA_BASE_URL",
    "ollama_model": "OLLAMA_MODEL",
    "openai_model": "OPENAI_MODEL",
}
_MORE_KEYS = {"openai": "OPENAI_API_KEYS"}
_FIELDS = ("api_key", "base_url", "model")
_PREFIXES = {provider: "kimi" if provider is LLMProvider.KIMI_K2 else provider.value for provider in LLMProvider}
ARGUMENTS = tuple(f"{prefix}_{name}" for prefix in _PREFIXES.values() for name in _FIELDS)


def configure(arguments: Mapping[str, str | None]) -> Config:
    """The configuration that a router's keyword arguments and the environment ask for.

    Raises TypeError for an unknown argument and InvalidRequestError for one that cannot be used.
    """
    asked, keys = {**_from_environment(), **said(arguments)}, keys_of(arguments)
    providers = {name: _asked_for(settings, asked, keys[name]) for name, settings in known_providers().items()}
    return dataclasses.replace(builtin_config(), providers=providers)


def keys_of(arguments: Mapping[str, str | None]) -> dict[str, tuple[Secret, ...]]:
    """Provider -> its keys, in the order in which they are tried: the argument's, or else those of its variables.

    Raises InvalidRequestError for one that cannot be a key.
    """
    return {name: tuple(_keys_of(settings, arguments)) for name, settings in known_providers().items()}


def _keys_of(settings: ProviderSettings, arguments: Mapping[str, str | None]) -> Iterator[Secret]:
    argument = f"{_PREFIXES[LLMProvider(settings.name)]}_api_key"
    variables = [name for name in (settings.key_variable, _MORE_KEYS.get(settings.name)) if name]
    named = {argument: arguments.get(argument) or ""}
    found = named if named[argument].strip() else {name: os.environ.get(name, "") for name in variables}
    for source, text in found.items():
        for key in split_keys(text):
            try:
                secret = key_in(key.encode(), source)
            except ConfigError as error:
                raise InvalidRequestError(str(error)) from None
            if secret is not None:
                yield secret


def known_providers() -> dict[str, ProviderSettings]:
    """Whoever a router can ask, as nobody has changed it."""
    return {**builtin_config().providers, **{settings.name: settings for settings in FURTHER_PROVIDERS}}


def said(arguments: Mapping[str, str | None]) -> dict[str, str | None]:
    """The arguments that say anything. Raises TypeError for an unknown one."""
    return {name: value for name, value in arguments.items() if _known(name, value)}


def _known(name: str, value: object) -> bool:
    """Whether the argument says anything."""
    if name not in ARGUMENTS:
        near = close_words(name, ARGUMENTS, cutoff=0.0)
        raise TypeError(f"LLMRouter() got an unexpected keyword argument {name!r}; did you mean {near[0]!r}?")
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: expected text or None, got {type(value).__name__}")
    return bool(value and value.strip())


def _from_environment() -> dict[str, str]:
    found = {name: os.environ.get(variable, "") for name, variable in _VARIABLES.items()}
    return {name: value for name, value in found.items() if value.strip()}


def _asked_for(settings: ProviderSettings, asked: Mapping[str, str | None], keys: Sequence[Secret]) -> ProviderSettings:
    prefix = _PREFIXES[LLMProvider(settings.name)]
    key, base_url, model = ((asked.get(f"{prefix}_{name}") or "").strip() for name in _FIELDS)
    changed = dataclasses.replace(
        settings,
        key=keys[0] if keys else None,
        base_url=_checked_url(f"{prefix}_base_url", base_url, settings.local) if base_url else settings.base_url,
        model=model or settings.model,
        enabled=settings.enabled or bool(key or base_url or model),
    )
    if changed.configured and not changed.model:
        raise InvalidRequestError(
            f"{prefix}_model: expected the model's name as well; there is no default for {prefix}"
        )
    return changed


def _checked_url(argument: str, url: str, local: bool) -> str:
    try:
        address = parse_address(endpoint_address(url))
    except Expectation as expected:
        got = without_credentials(url)[:80]
        raise InvalidRequestError(f"{argument}: expected {expected}, got {got!r}") from None
    if address.crosses_in_clear:
        raise InvalidRequestError(
            f"{argument}: http:// to {address.host} would show keys and prompts to the network; use https://"
        )
    return f"{url.rstrip('/')}/v1" if local and address.path in ("", "/") else url
