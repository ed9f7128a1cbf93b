"""What in a body costs more than the tokens of its words. Source: the vendors' price lists and their SDKs' types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cortexd.errors import InvalidArgument
from cortexd.formats.asked import Body, kind_of, rows

_USUAL_TIERS = (None, "auto", "default", "standard", "standard_only")
# keys by which a vendor searches: OpenAI's, OpenRouter's, xAI's, Alibaba's
SEARCHES = ("web_search_options", "plugins", "search_parameters", "enable_search")
ROUTED = ("models",)  # OpenRouter asks another of these, at that one's price
_AUDIO = ("audio", "input_audio")
# keys of a part, or of what is nested in it, that name something which does not stand in the body
_ELSEWHERE = ("file_id", "file_url", "url", "image_url")
_NESTED = ("source", "image_url", "file")
# keys of what stands here packed, so that its bytes do not bound its tokens: documents and films
_PACKED = ("file_data", "video_url", "video")


@dataclass(frozen=True, slots=True)
class Extras:
    """Names of each. `rates`: what makes tokens dearer or cheaper than the price list's usual ones. `fees`: what costs
    beside tokens, or lets the vendor ask its model again with input of its own, as server tools do. `beyond`: input
    that does not stand in the body, or only packed, so that its length does not bound it; the usage counts it.
    `for_an_hour`: the cache is to keep some of it so long, or for a time that is not known here."""

    rates: tuple[str, ...] = ()
    fees: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    for_an_hour: bool = False


def tier(body: Body) -> tuple[str, ...]:
    value = body.get("service_tier")
    return () if value in _USUAL_TIERS else (f"service_tier.{value!s:.40}",)


def said(body: Body, *keys: str) -> tuple[str, ...]:
    """Those of the keys that say something: an empty object asks for all that is usual."""
    return tuple(key for key in keys if body.get(key) not in (None, False, "", []))


def for_an_hour(body: Body) -> bool:
    """Whether a cache mark anywhere in it asks for more than the usual five minutes. It may nest deeper than calls."""
    waiting: list[object] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            mark = value.get("cache_control")
            if isinstance(mark, dict) and mark.get("ttl") not in (None, "5m"):
                return True
            waiting += value.values()
    return False


def paid_tools(body: Body, free: Callable[[Body], bool]) -> tuple[str, ...]:
    """Every tool that is not known to be free: one that came later may cost."""
    return tuple(dict.fromkeys(f"tools.{kind_of(tool)}" for tool in rows(body.get("tools"), "tools") if not free(tool)))


def of_parts(turns: object, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of a conversation's parts: rates, and what stands elsewhere."""
    rates: dict[str, None] = {}
    beyond: dict[str, None] = {}
    for part in _parts(turns, key):
        if part.get("type") in _AUDIO:
            rates[f"content.{part['type']}"] = None
        if part.get("type") != "text" and (_stands_elsewhere(part) or _is_packed(part)):
            beyond[f"content.{kind_of(part)}"] = None
    return tuple(rates), tuple(beyond)


def _parts(turns: object, key: str) -> Iterator[Body]:
    """All objects in lists at `key`, and in lists at `content` of these and of their sources: a tool's result has parts
    of its own, and so has a document."""
    for turn in turns if isinstance(turns, list) else ():
        for inner in (turn.get(key), _source(turn).get("content")) if isinstance(turn, dict) else ():
            if isinstance(inner, list):
                yield from (part for part in inner if isinstance(part, dict))
                yield from _parts(inner, "content")


def _source(part: Body) -> Body:
    source = part.get("source")
    return source if isinstance(source, dict) else {}


def _stands_elsewhere(part: Body) -> bool:
    places: list[Any] = [part, *(part.get(key) for key in _NESTED)]
    named = [place.get(key) for place in places if isinstance(place, dict) for key in _ELSEWHERE]
    return any(isinstance(value, str) and not value.startswith("data:") for value in named)


def _is_packed(part: Body) -> bool:
    if part.get("type") == "document" and _source(part).get("type") == "base64":
        return True
    return any(place.get(key) for place in (part, part.get("file")) if isinstance(place, dict) for key in _PACKED)


def largest(body: Body, *keys: str) -> int | None:
    """Of all limits that the body sets: vendors differ in which one they obey. Raises InvalidArgument as `limit`."""
    return max(filter(None, (limit(body, key) for key in keys)), default=None)


def limit(body: Body, *keys: str) -> int | None:
    """The first of `keys` that says a number. Raises InvalidArgument for one that no model takes."""
    for key in keys:
        value = body.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not _from_one(value):
            raise InvalidArgument(f"{key}: expected a whole number from 1")
        return int(value)
    return None


def _from_one(value: float) -> bool:
    return value >= 1 and float(value).is_integer() if abs(value) < 2**53 else False
