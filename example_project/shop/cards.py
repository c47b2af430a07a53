"""The cards of the members' page: single jobs, and groups of like jobs that are folded into one."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import Count, QuerySet
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs import JobStatus
from django_jobs.engine.insight.status import describe_all, for_list
from django_jobs.models import Job, JobDependency, JobType, Organization
from django_jobs.statuses import AWAITING_RETRY, AWAITING_TURN, FINAL, TERMINAL, Status
from example_project.shop.kinds import name_many, name_one, words_of
from example_project.shop.runs import Run, read_runs


@dataclass(frozen=True)
class Card:
    """A job. ``waits_for`` names what it waits for."""

    is_group: ClassVar = False
    job: JobStatus
    title: str
    waits_for: str = ""

    @property
    def words(self) -> dict[str, str]:
        """A sentence for each state."""
        return words_of(self.job.job_type)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job.status in FINAL


@dataclass(frozen=True)
class Group:
    """Like jobs in one card, which shows what became of them."""

    is_group: ClassVar = True
    title: str
    kind: str
    owner: str
    newest: int
    oldest: int
    by_status: Counter[str]
    created_at: dt.datetime | None = None

    @property
    def failed(self) -> int:
        return self.by_status[Status.DEAD_LETTER]

    @property
    def ended(self) -> int:
        return sum(self.by_status[status] for status in TERMINAL)

    @property
    def percent(self) -> int:
        return 100 * self.ended // self.by_status.total()

    @property
    def counts(self) -> list[tuple[str, str]]:
        """What became of the jobs: names for the style sheet, with words such as ``3 failed``."""
        retried = sum(self.by_status[status] for status in AWAITING_RETRY)
        waiting = sum(self.by_status[status] for status in AWAITING_TURN)
        running, done = self.by_status[Status.RUNNING], self.by_status[Status.COMPLETED]
        canceled = self.by_status[Status.CANCELED]
        words = [
            ("failed", self.failed, ngettext("%(count)d failed", "%(count)d failed", self.failed)),
            ("retried", retried, ngettext("%(count)d is tried again", "%(count)d are tried again", retried)),
            ("running", running, ngettext("%(count)d running", "%(count)d running", running)),
            ("waiting", waiting, ngettext("%(count)d waiting", "%(count)d waiting", waiting)),
            ("done", done, ngettext("%(count)d done", "%(count)d done", done)),
            ("canceled", canceled, ngettext("%(count)d canceled", "%(count)d canceled", canceled)),
        ]
        return [(name, text % {"count": count}) for name, count, text in words if count]


def read_cards(tenant: Organization, user: Any, before: int | None = None) -> tuple[list[Card | Group], int | None]:
    """Return a page of the organization's cards, newest first, and the key before which older jobs are found."""
    jobs = Job.objects.filter(organization=tenant)
    runs, older = read_runs(jobs if before is None else jobs.filter(pk__lt=before))
    display_names = read_display_names()
    cards: dict[int, Card | Group] = {run.rows[0].pk: make_group(run, display_names) for run in runs if run.is_folded}
    single = [row.pk for run in runs if not run.is_folded for row in run.rows]
    cards |= describe_jobs(jobs.filter(pk__in=single), user, display_names)
    return [cards[pk] for pk in sorted(cards, reverse=True)], older


def make_group(run: Run, display_names: Mapping[str, str]) -> Group:
    first = run.rows[0]
    by_status = Counter(row.status for row in run.rows) + run.rest
    return Group(
        title=name_many(first.job_type_id, by_status.total(), display_names),
        kind=first.job_type_id,
        owner=first.owner_name,
        newest=first.pk,
        oldest=run.oldest,
        by_status=by_status,
        created_at=first.created_at,
    )


def count_by_status(jobs: QuerySet[Job]) -> Counter[str]:
    return Counter(dict(jobs.order_by().values_list("status").annotate(Count("pk"))))


def describe_jobs(jobs: QuerySet[Job], user: Any, display_names: Mapping[str, str]) -> dict[int, Card]:
    """Return the jobs' cards by key, newest first, by as many statements however many jobs they are."""
    rows = list(for_list(jobs).order_by("-pk"))
    found = dict(zip((row.pk for row in rows), describe_all(rows, user=user, listed=True), strict=True))
    waits = read_waits([pk for pk, job in found.items() if job.waiting_for == "dependency"], display_names)
    return {pk: Card(job, name_one(job.job_type, display_names), waits.get(pk, "")) for pk, job in found.items()}


def read_display_names() -> dict[str, str]:
    return dict(JobType.objects.values_list("type_name", "display_name"))


def read_waits(jobs: Iterable[int], display_names: Mapping[str, str]) -> dict[int, str]:
    """Return what each of these jobs waits for, such as ``Import customers and Send a fax``."""
    links = JobDependency.objects.filter(child__in=list(jobs)).exclude(parent__status__in=TERMINAL)
    kinds: dict[int, set[str]] = defaultdict(set)
    for child, kind in links.values_list("child_id", "parent__job_type_id").distinct():
        kinds[child].add(name_one(kind, display_names))
    return {child: get_text_list(sorted(names), _("and")) for child, names in kinds.items()}
