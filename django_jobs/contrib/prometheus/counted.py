"""The counters and histograms of what a process has counted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from django_jobs.contrib.prometheus import families
from django_jobs.contrib.prometheus.families import Described
from django_jobs.engine.insight import rollups
from django_jobs.engine.insight.rollups import Key, ProcessCounts
from django_jobs.engine.store.values import CLASSES_PER_DECADE

#: The last class of durations below each bound: about 1, 2 and 5 of every power of ten, from 10 ms to three hours.
#: The bounds lie between two classes, so that every duration is on its right side.
_LAST_CLASSES: Final = (-20, *(power + step for power in range(-20, 40, 10) for step in (3, 7, 10)))
BOUNDS: Final = tuple((last, str(float(f"{10 ** ((last + 0.5) / CLASSES_PER_DECADE):.3g}"))) for last in _LAST_CLASSES)

_COUNTERS: Final[Mapping[str, Described[CounterMetricFamily]]] = {
    rollups.ATTEMPTS: families.ATTEMPTS,
    rollups.SUBMITTED: families.SUBMITTED,
    rollups.ENDED: families.ENDED,
}


def counted_families(counts: ProcessCounts) -> Iterator[Metric]:
    """Yield what was counted."""
    by_name: dict[str, dict[Key, float]] = defaultdict(dict)
    for key, number in counts.read().items():
        by_name[key.name][key] = number
    for name, described in _COUNTERS.items():
        yield _counter(described, by_name[name], with_organizations=counts.organizations > 0)
    exits = families.CHILD_EXITS.family()
    for how in rollups.WAYS_TO_EXIT:
        exits.add_metric([how], by_name[rollups.EXITS].get(Key(rollups.EXITS, detail=how), 0))
    yield exits
    yield _histogram(families.RUN_SECONDS, by_name[rollups.RUNS], by_name[rollups.RUN_SECONDS])
    yield _histogram(families.WAIT_SECONDS, by_name[rollups.WAITS], by_name[rollups.WAIT_SECONDS])


def _counter(
    described: Described[CounterMetricFamily], numbers: Mapping[Key, float], *, with_organizations: bool
) -> Metric:
    family = described.family(with_organizations=with_organizations)
    for key, number in (numbers if with_organizations else _with_zeros(numbers)).items():
        values = {"job_type": key.job_type, "outcome": key.detail, "organization": key.organization}
        family.add_metric([values[name] for name in described.label_names(with_organizations)], number)
    return family


def _with_zeros(numbers: Mapping[Key, float]) -> Mapping[Key, float]:
    """Return the numbers, and 0 for each outcome that a type has not had: else its first one would be no increase."""
    outcomes = {
        rollups.ATTEMPTS: sorted(set(rollups.OUTCOMES.values())),
        rollups.ENDED: rollups.ENDS,
    }
    zeros = {key._replace(detail=detail): 0 for key in numbers for detail in outcomes.get(key.name, ())}
    return {**zeros, **numbers}


def _histogram(
    described: Described[HistogramMetricFamily], classes: Mapping[Key, float], sums: Mapping[Key, float]
) -> Metric:
    family = described.family()
    by_type: dict[str, dict[int, float]] = defaultdict(dict)
    for key, number in classes.items():
        by_type[key.job_type][int(key.detail)] = number
    seconds = {key.job_type: number for key, number in sums.items()}
    for job_type, counted in by_type.items():
        family.add_metric([job_type], list(_buckets(counted)), seconds.get(job_type, 0.0))
    return family


def _buckets(counted: Mapping[int, float]) -> Iterator[tuple[str, float]]:
    """Yield each bound with the number of durations up to it."""
    total, places, left = 0.0, sorted(counted), 0
    for last, bound in (*BOUNDS, (math.inf, "+Inf")):
        while left < len(places) and places[left] <= last:
            total += counted[places[left]]
            left += 1
        yield bound, total
