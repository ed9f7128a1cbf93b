"""What no single value can tell: settings that contradict each other, or lead to what is not there."""

from __future__ import annotations

from collections.abc import Iterator

from cortexd.config.addresses import bypasses, on_this_machine, parse_address
from cortexd.config.allowed import ALL
from cortexd.config.files import Unusable, read_file
from cortexd.config.names import taken_names
from cortexd.config.replicas import endpoints
from cortexd.config.settings import Config, LimitSettings, NetworkSettings, ProviderSettings, RoutingSettings, Weights
from cortexd.domain.messages import LearnedMode, Strategy
from cortexd.domain.modes import clash

_MAX_CA_BYTES = 16 * 1024 * 1024
Faults = Iterator[tuple[str, str]]


def faults_of_whole(config: Config) -> Faults:
    """Each setting at fault, and what is wrong with it."""
    yield from _routes(config)
    yield from _allowed(config)
    yield from _weights(config.routing.weights)
    yield from _modes(config.routing)
    yield from _names(config)
    yield from _addresses(config)
    yield from _headers(config)
    yield from _authorities(config)
    yield from _deadlines(config.limits)


def _deadlines(limits: LimitSettings) -> Faults:
    most, usual = limits.max_deadline_ms, limits.default_deadline_ms
    if usual > most and usual == LimitSettings().default_deadline_ms:
        yield "limits.max_deadline_ms", f"expected at least limits.default_deadline_ms, which is {usual}, got {most}"
    elif usual > most:
        yield "limits.default_deadline_ms", f"expected at most limits.max_deadline_ms, which is {most}, got {usual}"


def _routes(config: Config) -> Faults:
    rows = config.routing.table.items()
    named = [(f"routing.table.{task}", target.provider) for task, targets in rows for target in targets]
    for path, provider in [*named, ("routing.default_provider", config.routing.default_provider)]:
        if provider not in config.providers:
            yield path, f"unknown provider {provider!r}; expected one of {', '.join(config.providers)}"


def _allowed(config: Config) -> Faults:
    allowed = config.routing.allowed
    lists = {"everybody": allowed.everybody or ()}
    lists |= {f"groups.{name}": row for name, row in allowed.groups.items()}
    lists |= {f"users.{name}": row for name, row in allowed.users.items()}
    lists |= {f"task_types.{task}": row for task, row in allowed.task_types.items()}
    for path, row in lists.items():
        for target in row:
            if target != ALL and target.provider not in config.providers:
                names = ", ".join(config.providers)
                yield f"routing.allowed.{path}", f'unknown provider {target.provider!r}; expected "*" or one of {names}'


def _weights(weights: Weights) -> Faults:
    if not (weights.cost or weights.latency or weights.quality):
        yield "routing.weights", "all are 0; give one of them more"


def _modes(routing: RoutingSettings) -> Faults:
    """What stands nowhere is the default, which contradicts nothing."""
    learned = routing.learned
    strategy = None if routing.strategy is Strategy.TABLE else routing.strategy
    if words := clash(strategy, None if learned.mode is LearnedMode.OFF else learned.mode):
        yield "routing.learned.mode", words
    for task, mode in learned.modes.items():
        if words := clash(routing.strategies.get(task), mode):
            yield f"routing.learned.modes.{task}", words


def _names(config: Config) -> Faults:
    for name, earlier in taken_names(config.providers).items():
        yield f"providers.{name}", f"differs too little from provider {earlier!r}; choose another name"


def _addresses(config: Config) -> Faults:
    for name, settings in config.providers.items():
        ends = () if settings.insecure else endpoints(settings)
        for reader in filter(None, (_reader_between(end, config.network) for end in ends)):
            yield (
                f"providers.{name}.{'replicas' if settings.replicas else 'base_url'}",
                f"http:// would show keys and prompts to {reader}; use https://, or accept that with insecure = true",
            )


def _reader_between(settings: ProviderSettings, network: NetworkSettings) -> str:
    """Who could read what goes to the endpoint, "" for nobody."""
    address = parse_address(settings.base_url)
    if address.scheme == "https":
        return ""
    if not on_this_machine(address.host):
        return f"the network on the way to {address.host}"
    if network.proxy is None or settings.local or bypasses(address.host, network.no_proxy):
        return ""
    proxy = parse_address(network.proxy).host
    return "" if on_this_machine(proxy) else f"the proxy {proxy}"


def _headers(config: Config) -> Faults:
    for name, settings in config.providers.items():
        if settings.auth_header and settings.auth_header.lower() in map(str.lower, settings.headers):
            yield f"providers.{name}.headers", f"{settings.auth_header} is the auth_header, which carries the key"


def _authorities(config: Config) -> Faults:
    if config.network.ca_file is None:
        return
    try:
        data = read_file(config.network.ca_file, most=_MAX_CA_BYTES)
    except Unusable as reason:
        yield "network.ca_file", f"{config.network.ca_file} {reason}"
    else:
        if b"-----BEGIN CERTIFICATE-----" not in data and b"-----BEGIN TRUSTED CERTIFICATE-----" not in data:
            yield "network.ca_file", f"expected certificates in PEM form in {config.network.ca_file}"
