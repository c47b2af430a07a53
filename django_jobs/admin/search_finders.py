"""What a typed word may name: a job, a batch, types, organizations, a user, an error, a worker, words of an error.

Each finder yields what it knows by that name and the user may know of. ``find`` asks all of them, the surest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import CharField, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.base import keys_of
from django_jobs.admin.numbers import format_number
from django_jobs.admin.search_words import pair_text
from django_jobs.admin.seen_organizations import Seen
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import LOOKED_AT, JobFilter
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.models import Job, Worker, get_organization_model
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import parse_job_id
from django_jobs.texts import listed

#: Types or organizations that one word may stand for, and how many of them are named.
MAX_ALIKE: Final = 50
MAX_NAMED: Final = 3
#: Fields that hold the name that people read, the first that an organization's model has.
TITLES: Final = ("title", "name")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_WORKER: Final = re.compile(r"\S+-\d+-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Something that a text may mean, in a sentence. ``text`` is the search that means it and nothing else."""

    search: JobFilter
    sentence: str
    text: str


Finder = Callable[[str, Seen], Iterator[Meaning]]


def find(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield what the term may mean, the surest first; the last is always: words of an error."""
    for certain in (job_of_id, batch_of_id):
        if found := list(certain(term, seen)):
            yield from found
            return
    for finder in (job_of_number, types_named, organizations_with_id, owner, fingerprint, worker):
        yield from finder(term, seen)
    yield from organizations_titled(term, seen)
    yield from types_beginning(term, seen)
    yield from words(term, seen)


def job_of_id(term: str, _seen: Seen) -> Iterator[Meaning]:
    """Yield the job with this id, whether or not there is one."""
    parsed = parse_job_id(term)
    if parsed is not None:
        yield Meaning(search=JobFilter(job_id=(parsed,)), sentence=_("The job %(job)s") % {"job": term}, text=term)


def job_of_number(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the job with this number, if there is one."""
    for job in Job.primary.visible_to(seen.user).filter(pk__in=keys_of([term])).only("created_at"):
        sentence = _("The job with the number %(number)s") % {"number": job.pk}
        search = JobFilter(job_id=((job.pk, job.created_at.year),))
        yield Meaning(search=search, sentence=sentence, text=pair_text("job", str(job.pk)))


def batch_of_id(term: str, _seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the batch with this id, whether or not there is one."""
    parsed = parse_batch_id(term)
    if parsed is not None:
        sentence = _("Jobs of the batch %(batch)s") % {"batch": term}
        yield Meaning(search=JobFilter(batch=parsed), sentence=sentence, text=term)


def types_named(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the types that are called so."""
    rows = seen.types.filter(Q(pk__iexact=term) | Q(display_name__iexact=term))
    names = list(rows.order_by("pk").values_list("pk", flat=True)[:MAX_ALIKE])
    for name in names:
        sentence = _("Jobs of type %(type)s") % {"type": name}
        yield Meaning(search=JobFilter(job_type=(name,)), sentence=sentence, text=pair_text("type", name))


def types_beginning(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the types whose names begin so and go on; a star at the end means the same."""
    term = term.removesuffix("*")
    begin = Q(pk__istartswith=term) | Q(display_name__istartswith=term)
    rows = seen.types.filter(begin).exclude(Q(pk__iexact=term) | Q(display_name__iexact=term))
    names = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_ALIKE + 1])
    if names:
        yield Meaning(
            search=JobFilter(job_type=tuple(names[:MAX_ALIKE])),
            sentence=_that_begin(term, names),
            text=pair_text("type", f"{term}*"),
        )


def _that_begin(term: str, names: list[str]) -> str:
    facts = {"text": term, "types": listed(names[:MAX_NAMED]), "count": format_number(min(len(names), MAX_ALIKE))}
    if len(names) <= MAX_NAMED:
        return (
            ngettext(
                "Jobs of the type that begins with “%(text)s”: %(types)s",
                "Jobs of the %(count)s types that begin with “%(text)s”: %(types)s",
                len(names),
            )
            % facts
        )
    if len(names) <= MAX_ALIKE:
        return _("Jobs of the %(count)s types that begin with “%(text)s”: %(types)s, …") % facts
    return _("Jobs of the first %(count)s types that begin with “%(text)s”: %(types)s, …") % facts


def organizations_with_id(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the organization with this id."""
    yield from map(_of_organization, _with_id(term, seen))


def organizations_titled(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of each organization whose title is this or begins so, without the one that has this id."""
    name = title_field()
    if name:
        # By key: where ids are numbers, no condition can name an id that is none.
        known = [found.pk for found in _with_id(term, seen)]
        yield from map(_of_organization, _organizations(seen, Q((f"{name}__istartswith", term)) & ~Q(pk__in=known)))


def _with_id(term: str, seen: Seen) -> list[Any]:
    return _organizations(seen, Q((str(jobs_settings.ORGANIZATION_ID_FIELD), term)))


def _organizations(seen: Seen, which: Q) -> list[Any]:
    try:
        return list(seen.tenants.filter(which).order_by("pk")[:MAX_NAMED])
    except (TypeError, ValueError, ValidationError, OverflowError, DataError):  # ids that are no text
        return []


def _of_organization(found: Any) -> Meaning:
    label, key = str(found), id_of(found)
    names = {"organization": label if label == key else f"{label} ({key})"}
    return Meaning(
        search=JobFilter(organization_pk=(found.pk,)),
        sentence=_("Jobs of the organization %(organization)s") % names,
        text=pair_text("organization", key),
    )


def title_field() -> str:
    """Return the name of the organization model's field that people read; empty if it has none of ours."""
    for name in TITLES:
        try:
            if isinstance(get_organization_model()._meta.get_field(name), CharField):
                return name
        except FieldDoesNotExist:
            continue
    return ""


def _jobs_of(organizations: list[Any] | None) -> QuerySet[Job]:
    """Return the jobs of these organizations, by primary key; None: of all."""
    rows = Job.primary.all()
    return rows if organizations is None else rows.filter(organization_id__in=organizations)


def owner(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the user with this name, if there are any."""
    if _jobs_of(seen.organizations).filter(owner_name=term).exists():
        sentence = _("Jobs of the user %(user)s") % {"user": term}
        yield Meaning(search=JobFilter(owner=term), sentence=sentence, text=pair_text("owner", term))


def fingerprint(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs whose error has this fingerprint, or one that begins so, if there are any."""
    if _FINGERPRINT.fullmatch(term.lower()) is None:
        return
    search, organizations = JobFilter(fingerprint_start=term.lower()), seen.organizations
    if search.among_newest(_jobs_of(organizations), organizations)[0].exists():
        sentence = _("Jobs that failed with the error %(fingerprint)s") % {"fingerprint": term}
        yield Meaning(search=search, sentence=sentence, text=pair_text("fingerprint", term.lower()))


def worker(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the worker that is called so, or whose name begins so."""
    if seen.is_system_admin and (_WORKER.fullmatch(term) or Worker.primary.filter(name__startswith=term).exists()):
        yield from of_worker(term, seen)


def of_worker(term: str, seen: Seen) -> Iterator[Meaning]:
    """Yield the jobs of the workers whose names begin so. These names are for system admins."""
    if not seen.is_system_admin:
        return
    sentence = _("Jobs that the worker %(worker)s ran, among the newest %(count)s")
    yield Meaning(
        search=JobFilter(worker=term),
        sentence=sentence % {"worker": term, "count": format_number(LOOKED_AT)},
        text=pair_text("worker", term),
    )


def words(term: str, _seen: Seen) -> Iterator[Meaning]:
    """Yield the failed jobs whose error has these words."""
    sentence = _("Failed jobs with the words “%(words)s” in their error") % {"words": term}
    yield Meaning(search=JobFilter(error=term), sentence=sentence, text=pair_text("error", term))
