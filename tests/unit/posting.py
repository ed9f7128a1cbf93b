"""One request to a simulated provider by a plain HTTP client."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


def post(url: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and answer; a body that is text goes as it is."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    text = body if isinstance(body, str) else json.dumps(body)
    connection.request("POST", parts.path, text, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer
