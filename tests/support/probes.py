"""Asking the health port of a process, as Kubernetes and Prometheus do."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Answered:
    """An answer over HTTP."""

    code: int
    headers: dict[str, str]
    body: str


def ask(port: int, path: str, *, method: str = "GET", timeout: float = 30.0) -> Answered:
    """What is answered at this port. Raises OSError where nobody does, or not in time."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        line.request(method, path)
        answer = line.getresponse()
        return Answered(answer.status, dict(answer.getheaders()), answer.read().decode())
    finally:
        line.close()


def code_of(port: int, path: str) -> int:
    """The answer's code; 0 where nobody answers."""
    try:
        return ask(port, path, timeout=5.0).code
    except OSError:
        return 0


def scraped(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a scrape, by their names and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value_of(text: str, name: str, **labels: Any) -> float:
    """The sum of the samples that have this name and these labels, whatever others they have."""
    wanted = set(labels.items())
    return sum(value for (found, theirs), value in scraped(text).items() if found == name and wanted <= theirs)
