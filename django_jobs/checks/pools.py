"""Checks of the setting POOLS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.checks import CheckMessage, Error, register

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.statuses import Priority

_EXAMPLE: Final = "Write it as {'gpu': {}}, or name queues of its own: {'gpu': {'QUEUES': {'High': 'gpu-high', …}}}."


@register("django_jobs")
def check_pools(**kwargs: Any) -> list[CheckMessage]:
    """Require names that queues and workers can have, and for each pool queues that no other one has."""
    value = jobs_settings.POOLS
    if not isinstance(value, Mapping):
        text = f"DJANGO_JOBS['POOLS'] must be a dict of pools by their names, not {value!r}."
        return [Error(text, hint=_EXAMPLE, id="django_jobs.E023")]
    problems = [(name, text) for name, pool in value.items() for text in _problems(name, pool)]
    found: list[CheckMessage] = [
        Error(f"DJANGO_JOBS['POOLS'] has {name!r}, {text}.", hint=_EXAMPLE, id="django_jobs.E023")
        for name, text in problems
    ]
    return found or _shared_queues()


def _problems(name: object, value: object) -> Iterator[str]:
    if not pools.is_name(name):
        yield f"which is no name of a pool: up to {pools.MAX_NAME} letters, digits, '_' and '-'"
    if not isinstance(value, Mapping):
        yield f"whose value is {value!r} and must be a dict"
        return
    if unknown := sorted(map(str, value.keys() - {"QUEUES"})):
        yield f"whose value has unknown keys: {', '.join(unknown)}"
    queues = value.get("QUEUES", {})
    if not isinstance(queues, Mapping):
        yield f"whose QUEUES are {queues!r} and must be a dict of queues by their priorities"
        return
    if queues and name == DEFAULT_POOL:
        yield "whose queues are those of DJANGO_JOBS['QUEUES']"
    if unknown := sorted(map(str, queues.keys() - set(Priority.words()))):
        yield f"whose QUEUES have unknown priorities: {', '.join(unknown)}. There are {', '.join(Priority.words())}"
    if bad := [queue for queue in queues.values() if not isinstance(queue, str) or not queue or set(queue) & set(" ,")]:
        yield f"whose QUEUES have {bad[0]!r}, which is no name of a queue"


def _shared_queues() -> list[CheckMessage]:
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or any(label not in queues for label in Priority.words()):
        return []  # as another check says
    sharing: dict[str, set[str]] = defaultdict(set)
    for queue, name in pools.named().items():
        sharing[name].add(queue.pool)
    return [
        Error(
            f"The pools {', '.join(map(repr, sorted(of)))} share the queue {name!r}.",
            hint="Give each pool queues of its own: a ticket tells nothing but where it lies.",
            id="django_jobs.E024",
        )
        for name, of in sharing.items()
        if len(of) > 1
    ]
