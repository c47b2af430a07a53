"""Duplicates: whom equal work refuses, who may know of it, and when its key is deleted.

A key row for each piece of work names the job that was accepted last and until when it keeps others out. Who is first
among many at the same moment is decided by the store, where jobs are inserted.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps as current_apps
from django.db import router

from django_jobs.engine.access import AccessPolicy, get_policy
from django_jobs.engine.lookup import find_job
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store, store_of
from django_jobs.exceptions import DuplicateJob, JobNotFound
from django_jobs.models import DuplicateGate, DuplicateKey, Job

FORGET_BATCH = 1000


def find(keys: Iterable[str]) -> dict[str, Job]:
    """Key by key, the job that keeps the same work out now."""
    return store().same_work(keys)


def after_migrate(*, using: str, apps: Any = current_apps, **kwargs: Any) -> None:
    """Prepare the tables of duplicates, on a database that has them."""
    if "duplicategate" in apps.all_models["django_jobs"] and router.allow_migrate_model(using, DuplicateGate):
        store_of(using).after_migrate()


def is_visible(existing: Job, user: Any) -> bool:
    """Return whether the policy shows the earlier job to ``user``.

    The built-in policy shows people the jobs of every organization for which they may submit.
    """
    if user is None or type(get_policy()) is AccessPolicy:
        return True
    try:
        find_job(existing, user)
    except JobNotFound:
        return False
    return True


def hide_unseen(duplicate: DuplicateJob, user: Any) -> None:
    """Raise it without the earlier job's id, when the policy does not show that job to ``user``."""
    if not is_visible(duplicate.existing, user):
        raise DuplicateJob(duplicate.existing, duplicate.index, is_visible=False) from None


def prolong(jobs: Mapping[str, int], expires_at: dt.datetime) -> None:
    """Let these jobs, by their keys, keep the same work out until that moment, where they still do."""
    rows = DuplicateKey.primary.all()
    rows.filter(pk__in=list(jobs), job_id__in=list(jobs.values())).update(expires_at=expires_at)


def release(jobs: Iterable[Job]) -> None:
    """These jobs keep nobody out any more: they are about to go, or a later one takes their place."""
    by_key = sorted((job.job_hash, job.pk) for job in jobs)
    for start in range(0, len(by_key), FORGET_BATCH):
        keys, pks = zip(*by_key[start : start + FORGET_BATCH], strict=True)
        DuplicateKey.primary.filter(pk__in=keys, job_id__in=pks).delete()


def release_missing(keys: Iterable[str]) -> None:
    """Remove keys whose job somebody deleted in another way."""
    rows = dict(DuplicateKey.primary.filter(pk__in=list(keys)).values_list("pk", "job_id"))
    there = set(Job.primary.filter(pk__in=rows.values()).values_list("pk", flat=True))
    for key, pk in rows.items():
        if pk not in there:
            DuplicateKey.primary.filter(pk=key, job_id=pk).delete()


def forget_expired(seconds: float = 0.0) -> int:
    """Remove keys that keep nobody out any more, batch by batch for so many seconds; at least one batch."""
    until = time.monotonic() + seconds
    total = 0
    while True:
        count, is_last = _forget_batch()
        total += count
        if is_last or time.monotonic() >= until:
            return total


def _forget_batch() -> tuple[int, bool]:
    """Remove a batch of expired keys. Return how many, and whether to stop: there are no more, or others hold them."""
    now = database.now()
    rows = DuplicateKey.primary.filter(expires_at__lt=now).order_by("expires_at")
    old = list(rows.values_list("pk", flat=True)[:FORGET_BATCH])
    count = database.in_transaction(lambda: _forget(old, now)) if old else 0
    return count, len(old) < FORGET_BATCH or not count


def _forget(old: list[str], now: dt.datetime) -> int:
    """In the order in which submissions take keys over, and past those that one holds; judged again under the lock,
    since the same work may have been accepted anew in between.
    """
    keys = DuplicateKey.primary.all()
    locked = database.locked(keys.filter(pk__in=old), skip=True)
    expired = [key.pk for key in locked if key.expires_at < now]
    return keys.filter(pk__in=expired).delete()[0]
