"""What the address of the page of failures asks for: a type, an organization, a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.lookups import FAILED_ALL, RETRYING, clean_term
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import organizations_seen_by
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status

MAX_TYPE: Final = 100
MAX_FINGERPRINT: Final = 64
#: The choices of the status, in the order in which they are offered.
STATUSES: Final[dict[str, tuple[Any, frozenset[Status]]]] = {
    "": (gettext_lazy("All"), WITH_ERRORS),
    RETRYING: (gettext_lazy("Retried by themselves"), AWAITING_RETRY),
    **{str(status): (status.label, frozenset({status})) for status in Status if status in WITH_ERRORS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is asked for. ``is_known`` is False where the organization or the status is none that the user may see."""

    job_type: str = ""
    fingerprint: str | None = None
    organization: Any = None
    status: str = ""
    is_known: bool = True

    @property
    def statuses(self) -> frozenset[Status]:
        """Return the statuses that are meant."""
        return STATUSES[self.status][1]

    @property
    def filters(self) -> JobFilter:
        """Return the filter that names the same jobs."""
        return JobFilter(
            status=tuple(sorted(self.statuses)),
            job_type=(self.job_type,) if self.job_type else None,
            organization_pk=None if self.organization is None else (self.organization.pk,),
            error_fingerprint=self.fingerprint,
        )

    @property
    def narrowed(self) -> dict[str, str]:
        """Return the parameters by which the list of jobs is narrowed in the same way, beside type and error."""
        values = {"organization": "" if self.organization is None else str(self.organization.pk), "status": self.status}
        return {name: value for name, value in values.items() if value}

    def query(self, **changes: str) -> dict[str, str]:
        """Return the parameters of an address that asks for the same but for these changes; blank ones are left out,
        but not a blank fingerprint, which is that of errors without a text.
        """
        values = {"job_type": self.job_type, **self.narrowed, **changes}
        kept = {name: value for name, value in values.items() if value}
        return kept if self.fingerprint is None else kept | {"fingerprint": self.fingerprint}

    def list_query(self, **changes: str) -> dict[str, str]:
        """Return the parameters of the list of the same jobs."""
        named = {"type" if name == "job_type" else name: value for name, value in self.query().items()}
        return {"status": FAILED_ALL} | named | changes


def chosen_by(user: Any, values: Mapping[str, str]) -> Chosen:
    """Return what these values of a form or an address ask for."""
    fingerprint = values.get("fingerprint")
    asked, status = clean_term(values.get("organization", "")), values.get("status", "")
    organization = _organization(user, asked) if asked else None
    is_known = status in STATUSES and (organization is not None or not asked)
    return Chosen(
        job_type=clean_term(values.get("job_type", ""), MAX_TYPE),
        fingerprint=None if fingerprint is None else clean_term(fingerprint, MAX_FINGERPRINT),
        organization=organization,
        status=status if status in STATUSES else "",
        is_known=is_known,
    )


def _organization(user: Any, asked: str) -> Any:
    """Return the organization with this primary key or id, if there is one that the user may see."""
    seen = organizations_seen_by(user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    for field in ("pk", str(jobs_settings.ORGANIZATION_ID_FIELD)):
        try:
            found = rows.filter(**{field: asked}).first()
        except (TypeError, ValueError, ValidationError, OverflowError, DataError):  # no value of that field
            continue
        if found is not None:
            return found
    return None


def words(chosen: Chosen) -> list[str]:
    """Return what is chosen, in sentences."""
    told = []
    if chosen.job_type:
        told.append(_("Of the type %(type)s only.") % {"type": chosen.job_type})
    if chosen.organization is not None:
        told.append(_("Of the organization %(organization)s only.") % {"organization": chosen.organization})
    if chosen.status:
        told.append(_("In this state only: %(status)s.") % {"status": STATUSES[chosen.status][0]})
    return told
