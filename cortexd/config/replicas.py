"""Several endpoints behind one provider: what each of them takes over from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cortexd.config.addresses import on_this_machine, parse_address
from cortexd.config.settings import ProviderSettings, ReplicaSettings


def resolved(settings: ProviderSettings) -> ProviderSettings:
    """With what each replica takes over; the provider is local if all of them are."""
    if not settings.replicas:
        return settings
    replicas = tuple(
        replace(
            item,
            local=settings.local if item.local is None else item.local,
            max_in_flight=item.max_in_flight or settings.max_in_flight,
        )
        for item in settings.replicas
    )
    every = all(item.local for item in replicas)
    return replace(settings, base_url=replicas[0].base_url, local=every, replicas=replicas)


def located(replica: ReplicaSettings) -> ReplicaSettings:
    """Of a provider that nobody has called local: what is elsewhere is not."""
    if replica.local is not None:
        return replica
    return replace(replica, local=on_this_machine(parse_address(replica.base_url).host))


def strayed(settings: ProviderSettings, table: Mapping[str, Any]) -> str:
    """The `base_url` that `table` gives beside replicas without being one of them; "" for none."""
    addresses = [replica.base_url for replica in settings.replicas]
    return settings.base_url if addresses and "base_url" in table and settings.base_url not in addresses else ""


def endpoints(settings: ProviderSettings) -> tuple[ProviderSettings, ...]:
    """Each endpoint as a provider of its own, in the order of the configuration."""
    alone = replace(settings, replicas=())
    if not settings.replicas:
        return (alone,)
    return tuple(
        replace(
            alone,
            base_url=item.base_url,
            local=settings.local if item.local is None else item.local,
            max_in_flight=item.max_in_flight or settings.max_in_flight,
            key=item.key if item.own_key else settings.key,
        )
        for item in settings.replicas
    )
