"""Why a schedule cannot fire, or why what it submits does not run, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _

from django_jobs.engine import organizations
from django_jobs.engine.access import get_policy
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.job_types import parameters
from django_jobs.engine.store import database
from django_jobs.engine.submission.targets import may_submit
from django_jobs.models import JobType, Schedule, get_organization_model
from django_jobs.texts import in_clauses

MAX_ERRORS: Final = 5
#: The verb of the button that makes its presser the owner.
TAKE_OVER: Final = "take-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What is wrong, which ``code`` says in a word, and what to do; with ``url``, a link to where that is done.

    ``verb`` is a button of the page.
    """

    code: str
    text: str
    words: str = ""
    url: str = ""
    verb: str = ""


def remedies_of(schedule: Schedule, site: str) -> list[Remedy]:
    """Return what is wrong with a schedule now. With a fault there is always something to do."""
    kind = JobType.primary.filter(pk=schedule.job_type_id).first()
    tenants = database.rows(get_organization_model())
    tenant = tenants.filter(pk=schedule.organization_id).first() if schedule.organization_id is not None else None
    found = [*_of_type(schedule, kind, site), *_of_tenant(schedule, tenant), *_of_owner(schedule, kind, tenant)]
    if kind is not None:
        found += _of_parameters(schedule)
    if not found and schedule.fault:
        text = _("The usual causes are mended or do not hold. Fire it now to see; else its next firing will tell.")
        found.append(Remedy(code="unclear", text=text))
    return found


def notes_on(schedule: Schedule, site: str) -> Iterator[Remedy]:
    """Yield why nothing comes of a schedule that is on, although it has no fault."""
    if not schedule.is_enabled:
        yield Remedy(code="paused", text=_("It is paused: it fires only by hand, until it is resumed."))
        return
    if not leader(database.now()).is_alive:
        text = _("The scheduler is silent: nothing fires by itself until a worker or a scheduler runs.")
        address = reverse(f"{site}:django_jobs_monitor")
        yield Remedy(code="scheduler_silent", text=text, words=_("Monitor"), url=address)
    kind = JobType.primary.filter(pk=schedule.job_type_id).only("is_paused").first()
    if kind is not None and kind.is_paused:
        text = _("The type %(type)s is paused: what is submitted waits.") % {"type": kind.pk}
        yield Remedy(code="type_paused", text=text, words=_("Resume the type"), url=_type_url(kind.pk, site))


def _of_type(schedule: Schedule, kind: JobType | None, site: str) -> Iterator[Remedy]:
    if kind is None:
        text = _(
            "There is no job type %(type)s any more. Bring it back (declare it and run migrate or jobs_sync), or "
            "delete the schedule."
        )
        yield Remedy(code="unknown_job_type", text=text % {"type": schedule.job_type_id})
    elif not kind.is_enabled:
        text = _("The type %(type)s is disabled: submissions are refused.") % {"type": kind.pk}
        address = _type_url(kind.pk, site)
        yield Remedy(code="job_type_disabled", text=text, words=_("Enable the type"), url=address)


def _type_url(name: str, site: str) -> str:
    return reverse(f"{site}:django_jobs_jobtype_change", args=(name,))


def _of_tenant(schedule: Schedule, tenant: Any) -> Iterator[Remedy]:
    if schedule.organization_id is None:
        if not organizations.without(database.rows(get_organization_model())).exists():
            text = _("There is no organization to fire for. Pause the schedule until there is one.")
            yield Remedy(code="no_organization", text=text)
        return
    if tenant is None:
        text = _("Its organization was deleted. Choose another one below, or delete the schedule.")
        yield Remedy(code="organization_gone", text=text)
    elif not get_policy().is_active(tenant):
        text = _("Its organization is not active. Reactivate it, or pause the schedule meanwhile.")
        yield Remedy(code="organization_inactive", text=text)


def _of_owner(schedule: Schedule, kind: JobType | None, tenant: Any) -> Iterator[Remedy]:
    name, owner = schedule.owner_name, schedule.owner
    if not name:
        return
    if owner is None or not owner.is_active:
        code, text = "owner_inactive", _("%(user)s is deactivated: take it over, so that it submits in your name.")
        if owner is None:
            code, text = "owner_gone", _("%(user)s no longer exists: take it over, so that it submits in your name.")
        yield Remedy(code=code, text=text % {"user": name}, words=_("Take over"), verb=TAKE_OVER)
    elif kind is not None and not _may_submit(owner, tenant, kind, schedule):
        text = _("%(user)s, in whose name it submits, may not submit %(type)s there: give the right, or take it over.")
        text %= {"user": name, "type": kind.pk}
        yield Remedy(code="permission_denied", text=text, words=_("Take over"), verb=TAKE_OVER)


def _may_submit(owner: Any, tenant: Any, kind: JobType, schedule: Schedule) -> bool:
    if schedule.organization_id is None:
        return bool(get_policy().is_system_admin(owner))
    return tenant is None or may_submit(owner, tenant, kind)


def _of_parameters(schedule: Schedule) -> Iterator[Remedy]:
    errors = parameters.validate(schedule.job_type_id, schedule.parameters)
    if errors:
        texts = [f"{key}: {' '.join(messages)}" for key, messages in list(errors.items())[:MAX_ERRORS]]
        text = _("The type refuses the parameters: %(errors)s Correct them below.")
        yield Remedy(code="invalid_parameters", text=text % {"errors": in_clauses(texts)})
