"""Replays the requests of docs/api.md and compares their answers with those on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.test import APIClient

_STEP = re.compile(
    r"<!-- (?P<note>[^>]*) -->|```http\n(?P<request>[A-Z]+ /.*?)```\s*```http\n(?P<answer>HTTP/1.1 .*?)```", re.DOTALL
)
_ID = re.compile(r"(?:JOB|BATCH)-\d{4}-\d{5,}|(?:operations|schedules)/\d+|schedule '\d+'")
_VOLATILE = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
    re.compile(r"django_jobs/\d+/JOB-\d{4}-\d{5,}/[\w-]{22}/(?=[\w.-]+$)"),
    re.compile(r"^https?://[^/]+"),
    re.compile(r"^[\w-]{43}$"),  # a ticket
)


#: Stands on a page for the fields of an answer that it leaves out.
MORE: Final = "…"


@dataclass(frozen=True)
class Exchange:
    """A request of the page, and its answer there."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


def steps_of(page: str) -> Iterator[str | Exchange]:
    """The page's requests in order, and the notes between them that say what happens meanwhile."""
    for found in _STEP.finditer(page):
        if found["note"]:
            yield found["note"]
            continue
        head, _, body = found["request"].partition("\n\n")
        method, path = head.splitlines()[0].split(" ", 1)
        answer_head, _, answer = found["answer"].partition("\n\n")
        status = int(answer_head.split()[1])
        yield Exchange(method, path, _read(body), status, _read(answer))


def _read(text: str) -> Any:
    return json.loads(text) if text.strip().startswith(("{", "[")) else None


class Replay:
    """Sends requests, with the page's ids exchanged for those of this database."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def send(self, client: APIClient, exchange: Exchange) -> Any:
        path = self._translated(exchange.path)
        if exchange.body is None:
            return client.generic(exchange.method, path)
        body = self._translated(json.dumps(exchange.body))
        return client.generic(exchange.method, path, body, content_type="application/json")

    def differences(self, shown: Any, real: Any, where: str = "") -> list[str]:
        """Where the real answer is not what the page shows, apart from times, ids and numbers that vary."""
        if isinstance(shown, dict) and isinstance(real, dict):
            if {"id", "action"} <= shown.keys() & real.keys():
                self.ids[f"operations/{shown['id']}"] = f"operations/{real['id']}"
            alone = shown.keys() - real.keys() - {MORE} if MORE in shown else shown.keys() ^ real.keys()
            missing = [f"{where}.{name} is on one side only" for name in sorted(alone)]
            common = [name for name in shown if name in real]
            return missing + [
                text for name in common for text in self.differences(shown[name], real[name], f"{where}.{name}")
            ]
        if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
            pairs = zip(shown, real, strict=True)
            return [text for i, (one, two) in enumerate(pairs) for text in self.differences(one, two, f"{where}.{i}")]
        if isinstance(shown, str) and isinstance(real, str):
            self.ids.update(zip(_ID.findall(shown), _ID.findall(real), strict=False))
            shown, real = _stable(self._translated(shown)), _stable(real)
        elif _is_measured(shown) and _is_measured(real):
            return []
        return [] if shown == real else [f"{where}: {shown!r} on the page, {real!r} in truth"]

    def _translated(self, text: str) -> str:
        return _ID.sub(lambda found: self.ids.get(found[0], found[0]), text)


def _stable(text: str) -> str:
    for pattern in _VOLATILE:
        text = pattern.sub("…", text)
    return text


def _is_measured(value: Any) -> bool:
    """Ids of log rows, times and counts of pages; whether one is there at all does not vary."""
    return isinstance(value, int | float) and not isinstance(value, bool)
