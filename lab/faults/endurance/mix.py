"""The kinds of jobs of the long run, how often each is submitted, and where it must end."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils import timezone

from django_jobs.models import JobType, Organization
from django_jobs.statuses import Priority, Status

#: Of each hundred submissions, how many are of which organization.
LOADS: Final[Mapping[str, int]] = {"ORG-HUGE": 60, "ORG-LARGE": 25, "ORG-SMALL": 8, "ORG-TINY": 5, "ORG-RARE": 2}
#: More tries than faults are likely to cost one job.
MANY: Final = 20
PACKAGE: Final = "lab.faults.endurance.handlers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A job type: its handler and options, how often it is submitted, and how a job of it ends that nobody cancels."""

    share: int
    end: str = Status.COMPLETED
    parameters: Callable[[random.Random], dict[str, Any]] = lambda _: {}
    options: Mapping[str, Any] = field(default_factory=dict)


def _short(rng: random.Random) -> dict[str, Any]:
    return {"seconds": round(rng.choice([0.05, 0.2, 0.5, 1.0, 2.0, 2.0]), 2)}


def _brief(rng: random.Random) -> dict[str, Any]:
    return {"seconds": 0.1}


def _later(rng: random.Random) -> dict[str, Any]:
    return {"succeeds_at": rng.randint(2, 4)}


#: By the name of the handler, which is the type's name too.
KINDS: Final[Mapping[str, Kind]] = {
    "do_nothing": Kind(share=20),
    "work": Kind(share=24, parameters=_short),
    "report": Kind(share=10, parameters=_short),
    "work_async": Kind(share=12, parameters=_short),
    "save": Kind(share=6, parameters=_brief),
    "fail_at_first": Kind(share=7, parameters=_later),
    "fail_for_good": Kind(share=4, end=Status.DEAD_LETTER),
    "come_back_later": Kind(share=5, parameters=_later),
    "have_children": Kind(share=4, parameters=_brief),
    "run_too_long": Kind(share=2, end=Status.DEAD_LETTER, options={"default_timeout": 1, "max_retries": 1}),
    "ignore_everything": Kind(share=1, end=Status.DEAD_LETTER, options={"default_timeout": 1, "max_retries": 0}),
}


def make_rows(path_of: Callable[[str], str] = lambda name: f"{PACKAGE}.{name}") -> None:
    """Make the organizations and job types; ``path_of`` says where a handler of a name is."""
    for name in LOADS:
        Organization.objects.create(name=name)
    for name, kind in KINDS.items():
        values = {"max_retries": MANY, "retry_delay": 1, "default_timeout": 30, "deduplication_window": 0}
        row = JobType(type_name=name, handler_method=path_of(name), **{**values, **kind.options})
        row.full_clean()
        row.save()


def pick(rng: random.Random) -> dict[str, Any]:
    """The keywords of one submission, without those that name other jobs."""
    name = rng.choices([*KINDS], [kind.share for kind in KINDS.values()])[0]
    fields: dict[str, Any] = {
        "job_type": name,
        "organization": rng.choices([*LOADS], [*LOADS.values()])[0],
        "parameters": KINDS[name].parameters(rng),
        "priority": rng.choice([None, None, *Priority]),
    }
    if rng.random() < 0.1:
        fields["run_at"] = timezone.now() + dt.timedelta(seconds=rng.uniform(0.5, 5))
    if rng.random() < 0.03:
        fields["expires_at"] = timezone.now() + dt.timedelta(seconds=rng.uniform(20, 30))
    return fields
