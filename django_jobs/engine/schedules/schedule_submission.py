"""The jobs of one firing: one for the schedule's organization, or one for each active organization, in sets."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef

from django_jobs.conf import jobs_settings
from django_jobs.engine import system_organization
from django_jobs.engine.access import complain
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store import database
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.submission import per_organization, rights, single
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import OrganizationNotFound, PermissionDenied, PolicyFailed
from django_jobs.models import Job, Schedule, ScheduledJob
from django_jobs.models.organization import get_organization_model
from django_jobs.models.schedule import Overlap
from django_jobs.statuses import UNFINISHED
from django_jobs.texts import say

#: Organizations that are read and get their jobs at once.
PAGE: Final = 2_000
UNFINISHED_JOB: Final = "last_job_unfinished"
POLICY_FAILED: Final = "policy_failed"
LIMITS: Final = frozenset({"rate_limited", "queue_full"})
#: What a firing says of organizations that got no job, by the reason.
REASONS: Final = {
    UNFINISHED_JOB: "the last job is unfinished",
    per_organization.INACTIVE: "the organization is not active",
    per_organization.DUPLICATE: "the same work is there already",
    "rate_limited": "the rate limit is reached",
    "queue_full": "the backlog is full",
    POLICY_FAILED: "the access policy failed",
}


@dataclass(slots=True)
class Result:
    """What one firing submitted: how many jobs, the first of them, and how many organizations got none, and why."""

    submitted: int = 0
    first: int | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def is_for_nobody(self) -> bool:
        """Return whether no organization could have a job: none is there, or active, or within its limits."""
        reasons = set(self.skipped)
        return not self.submitted and (reasons <= {per_organization.INACTIVE} or bool(reasons & LIMITS))

    def note(self) -> str:
        """Return why organizations got no job, in words."""
        if not self.skipped:
            return "" if self.submitted else say("There is no organization.", code="no_organization")
        total = self.submitted + self.skipped.total()
        parts = [
            REASONS[reason] if total == 1 else f"{REASONS[reason]} ({count})"
            for reason, count in sorted(self.skipped.items())
        ]
        text = "; ".join(parts)
        return say(f"{text[:1].upper()}{text[1:]}.", code=" ".join(sorted(self.skipped)))


def ask_ahead(schedule_pk: int) -> dict[Any, bool]:
    """Ask the policy what the firing will ask, outside its transaction, which a policy that hangs would undo.

    Return, of a schedule for all organizations, the key of each, and whether the policy answers for it. Raises
    PolicyFailed where it does not for a schedule's one organization.
    """
    schedule = Schedule.primary.filter(pk=schedule_pk).select_related("job_type", "organization", "owner").first()
    found: dict[Any, bool] = {}
    if schedule is None or (schedule.organization_id is not None and schedule.organization is None):
        return found
    with fresh_reads():
        if schedule.organization is not None:
            rights.ask_ahead(schedule.organization, schedule.owner, schedule.job_type)
            return found
        for organization in itertools.chain.from_iterable(_pages()):
            found[organization.pk] = True
            try:
                rights.ask_ahead(organization, schedule.owner, schedule.job_type)
            except PolicyFailed as error:
                complain(error)
                found[organization.pk] = False
    return found


def submit_for(schedule: Schedule, due: dt.datetime, now: dt.datetime, tenants: Mapping[Any, bool]) -> Result:
    """Submit the jobs of a firing inside the open transaction. A refusal is raised as a submission's is.

    ``tenants`` are what :func:`ask_ahead` returned: of a schedule for all, those have none for which the policy fails.
    """
    firing = _Firing(schedule, due, now)
    with fresh_reads():
        firing.user = _owner(schedule)
        if schedule.organization_id is None:
            firing.submit_for_each(tenants)
        else:
            firing.submit_one(get_organization_model()(pk=schedule.organization_id))
    return firing.result


def _owner(schedule: Schedule) -> Any:
    """Return the user in whose name jobs are submitted; None for server code."""
    if schedule.owner_id is None and not schedule.owner_name:
        return None
    users = get_user_model()._default_manager.using(database.alias())
    owner = users.filter(pk=schedule.owner_id).first() if schedule.owner_id is not None else None
    if owner is None:
        text = "%(owner)s, in whose name it fires, no longer exists."
        raise PermissionDenied(say(text, code="owner_gone", owner=schedule.owner_name))
    return owner


def offset_of(schedule_name: str, organization_key: object, jitter: int) -> dt.timedelta:
    """Return by how much an organization's job comes later than the firing: the same each time, below ``jitter``."""
    if not jitter:
        return dt.timedelta()
    digest = hashlib.sha256(f"{schedule_name}\n{organization_key}".encode()).digest()
    return dt.timedelta(seconds=int.from_bytes(digest[:8], "big") % jitter)


class _Firing:
    """One firing of a schedule, which puts what it submitted into ``result``."""

    def __init__(self, schedule: Schedule, due: dt.datetime, now: dt.datetime) -> None:
        self.result = Result()
        self.user: Any = None
        self._schedule = schedule
        # What is caught up is spread from now on: all of it would else be due at once.
        is_on_time = now - due <= dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
        self._spread_from = due if is_on_time else now
        scheduled_for = rule_of(schedule).local(due).isoformat()
        self._given: Mapping[str, Any] = {
            "parameters": schedule.parameters,
            "priority": schedule.priority,
            "metadata": {"schedule": schedule.name, "scheduled_for": scheduled_for},
            "deduplication_window": 0,  # the type's window must not swallow a firing
        }

    def submit_one(self, organization: Any) -> None:
        """Submit one job, unless the last one is unfinished."""
        if self._unfinished([str(organization.pk)]):
            self.result.skipped[UNFINISHED_JOB] += 1
            return
        given = {**self._given, "run_at": self._run_at(organization) if self._schedule.jitter else None}
        job = single.submit(self._schedule.job_type_id, organization, given, self.user, Authorizer(self.user))
        self._note([job])

    def submit_for_each(self, tenants: Mapping[Any, bool]) -> None:
        """Submit one job for each active organization whose last one is not unfinished."""
        run_at: Callable[[Any], dt.datetime] | None = self._run_at if self._schedule.jitter else None
        model, keys = get_organization_model(), iter(tenants)
        while page := list(itertools.islice(keys, PAGE)):
            busy = self._unfinished([str(pk) for pk in page])
            wanted = [model(pk=pk) for pk in page if str(pk) not in busy and tenants[pk]]
            found = self._submit_each(wanted, run_at)
            self.result.skipped[UNFINISHED_JOB] += len(busy)
            self.result.skipped[POLICY_FAILED] += len(page) - len(busy) - len(wanted)
            self.result.skipped.update(found.skipped.values())
            self._note(found.submitted)
        self.result.skipped += Counter()  # without those that are 0

    def _submit_each(self, wanted: list[Any], run_at: Callable[[Any], dt.datetime] | None) -> per_organization.ForEach:
        """Submit for these organizations; for those that are left where one was deleted since they were read."""
        submit = partial(per_organization.submit_each, given=self._given, user=self.user, run_at=run_at)
        try:
            return submit(self._schedule.job_type_id, wanted)
        except OrganizationNotFound:
            left = database.rows(get_organization_model()).filter(pk__in=[item.pk for item in wanted])
            return submit(self._schedule.job_type_id, list(left.order_by("pk")))

    def _run_at(self, organization: Any) -> dt.datetime:
        return self._spread_from + offset_of(self._schedule.name, organization.pk, self._schedule.jitter)

    def _unfinished(self, keys: list[str]) -> set[str]:
        """Return which of these organizations have a job of the firing before that has not ended."""
        if self._schedule.overlap != Overlap.SKIP:
            return set()
        unfinished = Job.primary.filter(pk=OuterRef("job_id"), status__in=sorted(UNFINISHED)).order_by()
        rows = ScheduledJob.primary.filter(Exists(unfinished), schedule_id=self._schedule.pk, organization_key__in=keys)
        return set(rows.values_list("organization_key", flat=True))

    def _note(self, jobs: Iterable[Job]) -> None:
        """Remember which job each organization got last."""
        rows = [
            ScheduledJob(schedule_id=self._schedule.pk, organization_key=str(job.organization_id), job_id=job.pk)
            for job in jobs
        ]
        if not rows:
            return
        self.result.submitted += len(rows)
        self.result.first = self.result.first or rows[0].job_id
        has_target = database.connection().features.supports_update_conflicts_with_target
        ScheduledJob.primary.bulk_create(
            rows,
            update_conflicts=True,
            update_fields=["job_id"],
            unique_fields=["schedule", "organization_key"] if has_target else None,
        )


def _pages() -> Iterator[list[Any]]:
    """Yield all tenants in the order of their keys: the system organization is none."""
    rows = system_organization.without(database.rows(get_organization_model())).order_by("pk")
    page = list(rows[:PAGE])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []
