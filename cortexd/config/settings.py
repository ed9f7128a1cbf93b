"""Every setting as a frozen structure; the defaults here are the built-in defaults.

`docs`: config.toml.example documents each one for operators. Units are in the names: `_s` seconds, `_ms`
milliseconds, `_bytes`, `_usd_per_million` decimal dollars per million tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from cortexd.config.allowed import AllowedSettings
from cortexd.config.outcomes import AutomaticSettings, SourceWeights
from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.domain.quirks import Quirks
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that never shows itself: repr and str hide it; `reveal()` is for the SDK client alone."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "(hidden)"


@dataclass(frozen=True, slots=True)
class RateSettings:
    """An operator's own price, in decimal USD per million tokens; what is cached costs as plain input where None,
    and what is written for an hour has no known price where only `cache_write_usd_per_million` is given."""

    input_usd_per_million: str
    output_usd_per_million: str
    cache_read_usd_per_million: str | None = None
    cache_write_usd_per_million: str | None = None
    hour_write_usd_per_million: str | None = None


DEFAULT_TOKENS_PER_S = 4000
ANY_MODEL = "*"
CAPABILITIES = ("tools", "images", "response_schema")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What an operator says of one model of a provider, above what the catalogue knows; None for nothing.

    `capabilities`: all that it has, of tools, images, response_schema. `quality`: 0 to 1, by task type, and of every
    other task under None. `source`: where the figures come from, `as_of` when; for people alone.
    """

    context_tokens: int | None = None
    output_tokens: int | None = None
    image_tokens: int | None = None
    capabilities: frozenset[str] | None = None
    quality: dict[TaskType | None, float] = field(default_factory=dict)
    rate: RateSettings | None = None
    source: str | None = None
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """One of several endpoints behind a provider; what is None is as the provider has it.

    `weight`: its share of the calls beside the others'. `max_in_flight`: calls that it gets at once.
    `credential`: the name under which systemd hands its own key over; that, `key_file` or `key_variable` make the key
    another one than the provider's.
    """

    base_url: str
    weight: float = 1.0
    max_in_flight: int | None = None
    local: bool | None = None
    credential: str | None = None
    key_file: Path | None = None
    key_variable: str | None = None
    key: Secret | None = None

    @property
    def own_key(self) -> bool:
        """Whether it names a key of its own, found or not."""
        return any((self.credential, self.key_file, self.key_variable))


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One endpoint, or several `replicas`; `api` is a name in api_kinds. It is configured when enabled, and a key is
    present or it is local.

    `first_token_timeout_s`: how long a stream may be without a word, reasoning included, before another is asked; None
    for no such limit: how long a model thinks unseen, and a queue is, nobody knows but its operator.
    `max_tokens`: the longest answer where the caller sets no limit. `max_tokens_per_s`: no answer grows faster, by
    which is booked what was cut off. The fastest on offer: some 3,000 (gpt-oss-120b at Cerebras, October 2026).
    `auth_header`: the header that carries the key as it is; None for `Authorization: Bearer`. `headers`: others of
    every request, by name.
    `model`: the own one; ANY_MODEL for what the server says it has, "" where that is none.
    `preset`: the row of presets.toml that it began as. `quirks`: what all its models want or refuse.
    `models`: what is known of its models beside `model`, which strategies choose among.
    `insecure`: `base_url` may be http:// to another machine, which shows keys and prompts to the network.
    `replicas`: once read, `base_url` is the first one's, and `local` says whether all of them are.
    `max_in_flight`: the calls that an endpoint gets at once, None for any number; what comes above goes to the next
    candidate at once, and waits where there is none, up to `max_queued`. `queue_delay_s`: an endpoint behind which a
    call would wait longer for its first token counts as full, too.
    """

    name: str
    api: str
    base_url: str
    model: str
    enabled: bool = True
    local: bool = False
    insecure: bool = False
    timeout_s: float = 120.0
    first_token_timeout_s: float | None = None
    connect_timeout_s: float = 10.0
    max_connections: int = 256
    key: Secret | None = None
    key_file: Path | None = None
    key_variable: str | None = None
    auth_header: str | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    rate: RateSettings | None = None
    max_tokens: int | None = None
    max_tokens_per_s: int = DEFAULT_TOKENS_PER_S
    models: dict[str, ModelSettings] = field(default_factory=dict)
    preset: str | None = None
    quirks: Quirks = frozenset()
    replicas: tuple[ReplicaSettings, ...] = ()
    max_in_flight: int | None = None
    max_queued: int = 256
    queue_delay_s: float = 2.0

    @property
    def configured(self) -> bool:
        """Whether there is an endpoint that can be asked."""
        ends = self.replicas or (self,)
        return self.enabled and any(end.local or end.key is not None for end in ends)

    @property
    def has_local(self) -> bool:
        """Whether a call that must stay local finds an endpoint."""
        return self.local or any(replica.local for replica in self.replicas)

    @property
    def pooled(self) -> bool:
        return bool(self.replicas) or self.max_in_flight is not None

    @property
    def says_models(self) -> bool:
        """Whether its server is asked which models it has."""
        return self.configured and (self.local or self.model == ANY_MODEL)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How the daemon leaves the machine. Proxy variables of the environment are never read."""

    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds on what one caller, and all of them, can make the daemon hold.

    `max_active_*` are under way at once; what comes above waits, up to `max_queued_*`, and users take turns.
    `max_waiting_bytes*`: the content of requests from their arrival to their end; beside others one user may have as
    much as he leaves free.
    `max_requests_per_minute_per_user` is None for no such limit. `max_free_requests_per_minute_per_user`: of requests
    that cost nothing, refused ones too; ten minutes' worth may come at once, and 0 is for no limit.
    `max_outcomes_per_minute_per_user`: reports of outcomes, likewise.
    `stream_stall_s`: how long a stream's reader may read nothing.
    """

    max_active_requests: int = 512
    max_active_requests_per_user: int = 256
    max_queued_requests: int = 8192
    max_queued_requests_per_user: int = 2048
    max_waiting_bytes: int = 384 * 1024 * 1024
    max_waiting_bytes_per_user: int = 184 * 1024 * 1024
    max_requests_per_minute_per_user: int | None = None
    max_free_requests_per_minute_per_user: int = 600
    max_outcomes_per_minute_per_user: int = 3000
    max_batch_requests: int = 1000
    max_streams_per_user: int = 128
    stream_stall_s: float = 300.0
    max_prompt_bytes: int = 8 * 1024 * 1024
    max_answer_bytes: int = 16 * 1024 * 1024
    max_messages: int = 4096
    max_tools: int = 256
    max_subscribers: int = 256
    max_subscriptions_per_connection: int = 16
    default_deadline_ms: int = 600_000
    max_deadline_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Weights:
    """What each respect weighs in the strategy `balanced`; 0: nothing."""

    cost: float = 1.0
    latency: float = 1.0
    quality: float = 1.0


@dataclass(frozen=True, slots=True)
class LearnedSettings:
    """`mode`: whether outcomes decide, or what they would is only noted; `modes`: by task type, where it is another.

    `cost_weight`: what the dearest candidate's cost takes from a score of 0 to 1; `latency_weight`: what the slowest
    one's time does. `explore_share` of all decisions may try another than the best, 0: none ever; and `explore_first`
    for each model beside them. `sources`, `automatic`: of outcomes."""

    cost_weight: float = 0.1
    latency_weight: float = 0.0
    explore_share: float = 0.05
    explore_first: int = 20
    mode: LearnedMode = LearnedMode.OFF
    modes: dict[TaskType, LearnedMode] = field(default_factory=dict)
    sources: SourceWeights = field(default_factory=SourceWeights)
    automatic: AutomaticSettings = field(default_factory=AutomaticSettings)


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """`table`: task type -> who answers, the first choice first; `default_provider` where there is no row.

    `strategies`: by task type, where it is not `strategy`. `on_break`: of a stream after its first word.
    `hedge`: plain calls that take longer than 95 of 100 ask another model as well.
    """

    table: dict[TaskType, tuple[Target, ...]] = field(default_factory=dict)
    default_provider: str = "claude"
    fallback: bool = True
    strategy: Strategy = Strategy.TABLE
    strategies: dict[TaskType, Strategy] = field(default_factory=dict)
    allowed: AllowedSettings = field(default_factory=AllowedSettings)
    on_break: OnBreak = OnBreak.RESTART
    hedge: bool = False
    weights: Weights = field(default_factory=Weights)
    learned: LearnedSettings = field(default_factory=LearnedSettings)


@dataclass(frozen=True, slots=True)
class AuthorizationSettings:
    """`privileged_task_types` adds to system_operation and tool_execution, which are always privileged."""

    privileged_task_types: frozenset[TaskType] = frozenset()
    tools_are_system_operations: bool = False
    polkit_timeout_s: float = 25.0
    interactive_timeout_s: float = 120.0
    cache_s: float = 30.0


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """`path` is a SQLite file; its directory is made 0700, the file 0600. `url`, where it is set, is a PostgreSQL
    database that several machines share, in the file's place; its `password` comes from a credential or a file.

    `keep_days`: single requests are kept that long, their daily sums for good.
    `time_zone`: of the days and months of budgets and reports; "" for the machine's own. `users`: whether a uid is the
    same person on every machine ("directory"), or another on each ("host").
    """

    path: Path = Path("/var/lib/cortexd/ledger.sqlite3")
    url: str = ""
    password_file: Path | None = None
    password: Secret | None = None
    durability: Literal["process", "power"] = "process"
    lease_s: float = 900.0
    keep_days: int = 400
    time_zone: str = ""
    users: Literal["directory", "host"] = "directory"

    @property
    def where(self) -> str:
        """As an operator knows it."""
        return self.url or str(self.path)

    @property
    def spool(self) -> Path:
        """What is kept on this machine while a shared database is away."""
        return self.path.with_suffix(".spool")


@dataclass(frozen=True, slots=True)
class LimitUsd:
    """The most that may be spent in a day and in a month, in decimal USD; None for no limit."""

    day_usd: str | None = None
    month_usd: str | None = None


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Hard limits on what is spent: by the whole machine, by each user, by a group's members together.

    `users` and `groups` are keyed by name (a user's also by uid, as text); a user named here is not bound by
    `each_user`. `apps`, by a program's name: the most that each user may spend by it, beside all other limits.
    `thresholds` are fractions of a limit that are told once each as they are crossed.
    `at_limit`: "stop" refuses what does not fit, "downgrade" first looks for a cheaper model that does.
    `shared_step`: the fraction of a group's or the machine's limit in whose steps its users learn what others spent.
    `own_share`: the fraction of what such a limit has left that the requests under way, and the unknown costs of those
    that ended that day without an answer, of one user without a limit of his own may take.
    """

    machine: LimitUsd = LimitUsd()
    each_user: LimitUsd = LimitUsd()
    users: dict[str, LimitUsd] = field(default_factory=dict)
    groups: dict[str, LimitUsd] = field(default_factory=dict)
    apps: dict[str, LimitUsd] = field(default_factory=dict)
    thresholds: tuple[float, ...] = (0.5, 0.8, 0.95)
    at_limit: Literal["stop", "downgrade"] = "stop"
    shared_step: float = 0.02
    own_share: float = 0.25


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Answers kept in memory for calls that ask for it (option `cache`), per user, for `ttl_s`, up to `max_bytes`."""

    enabled: bool = False
    ttl_s: float = 3600.0
    max_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """`secrets`: what is done about secrets that are found in requests; a caller may have it stricter."""

    secrets: Secrets = Secrets.OFF


@dataclass(frozen=True, slots=True)
class SignalSettings:
    publish_totals: Literal["exact", "rounded", "off"] = "rounded"


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`textfile`: where Prometheus' node exporter looks for text files; None for no metrics."""

    textfile: Path | None = None
    per_user: bool = False


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`idle_exit_s`: without a request, a stream or a subscription for this long the daemon leaves, where the bus can
    start it again; 0 for never."""

    drain_timeout_s: float = 30.0
    idle_exit_s: float = 1800.0
    preload_sdks: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_requests: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one daemon, as read once; a reload makes a new one.

    `sources`: the files that say something."""

    providers: dict[str, ProviderSettings]
    routing: RoutingSettings
    network: NetworkSettings = NetworkSettings()
    limits: LimitSettings = LimitSettings()
    authorization: AuthorizationSettings = AuthorizationSettings()
    ledger: LedgerSettings = LedgerSettings()
    budgets: BudgetSettings = BudgetSettings()
    cache: CacheSettings = CacheSettings()
    privacy: PrivacySettings = PrivacySettings()
    signals: SignalSettings = SignalSettings()
    metrics: MetricsSettings = MetricsSettings()
    daemon: DaemonSettings = DaemonSettings()
    sources: tuple[Path, ...] = ()
