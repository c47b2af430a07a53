"""A set of jobs, named by what they have in common: the one place where a filter becomes a query.

``filter_input`` reads what REST, commands and people ask for into a :class:`JobFilter`; an operation stores one as
JSON. A field that is None asks for nothing, and an empty tuple finds no job. Each field is one line of the class: the
name in JSON, its kind (how it is read and written), the condition, and the words for people.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_type_hints

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.engine.access import get_policy, may_hide_jobs, organizations_seen_by
from django_jobs.engine.insight import filter_conditions as conditions
from django_jobs.engine.insight.filter_terms import (
    BATCH,
    CHOICE,
    FINGERPRINT,
    FLAG,
    JOB_IDS,
    KEYS,
    MOMENT,
    NAMES,
    NUMBER,
    PARAMETERS,
    PRIORITIES,
    STATUSES,
    TEXT,
    Term,
)
from django_jobs.engine.insight.filter_values import Id, Pair
from django_jobs.engine.insight.filter_words import in_words
from django_jobs.engine.insight.newest_jobs import RECENT, Newest, among_newest
from django_jobs.engine.insight.parameter_values import asks_for_hidden
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet
from django_jobs.texts import said, say

Rows = TypeVar("Rows", bound=QuerySet[Any])
Texts: TypeAlias = tuple[str, ...] | None
Numbers: TypeAlias = tuple[int, ...] | None
Keys: TypeAlias = tuple[Any, ...] | None
Ids: TypeAlias = tuple[Id, ...] | None
Moment: TypeAlias = dt.datetime | None
Pairs: TypeAlias = tuple[Pair, ...] | None

#: From outside, organizations are named by their ids; in a stored filter by their primary keys.
ORGANIZATION: Final = "organization"
PK: Final = "organization_pk"
#: From outside: a job id, or else a text in the error.
SEARCH: Final = "search"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Names the jobs that have all of these things. ``organizations`` are primary keys."""

    everything: Annotated[bool | None, Term("all", FLAG, conditions.all_jobs, gettext_lazy("all jobs"))] = None
    statuses: Annotated[Texts, Term("status", STATUSES, conditions.in_statuses, gettext_lazy("status"))] = None
    job_types: Annotated[Texts, Term("job_type", NAMES, "job_type_id__in", gettext_lazy("type"))] = None
    organizations: Annotated[Keys, Term(PK, KEYS, "organization_id__in", gettext_lazy("organization"))] = None
    priorities: Annotated[Numbers, Term("priority", PRIORITIES, "priority__in", gettext_lazy("priority"))] = None
    owner: Annotated[str | None, Term("owner", TEXT, "owner_name", gettext_lazy("owner"))] = None
    job_ids: Annotated[Ids, Term("job_id", JOB_IDS, conditions.with_ids, gettext_lazy("job"))] = None
    batch: Annotated[Id | None, Term("batch", BATCH, conditions.of_batch, gettext_lazy("batch"))] = None
    created_after: Annotated[Moment, Term("created_after", MOMENT, conditions.created_after, gettext_lazy("since"))] = (
        None
    )
    created_before: Annotated[
        Moment, Term("created_before", MOMENT, conditions.created_before, gettext_lazy("before"))
    ] = None
    error_fingerprint: Annotated[
        str | None, Term("error_fingerprint", FINGERPRINT, "error_fingerprint", gettext_lazy("kind of error"))
    ] = None
    fingerprint_start: Annotated[
        str | None, Term("fingerprint_start", TEXT, conditions.like_errors, gettext_lazy("kind of error begins with"))
    ] = None
    error_text: Annotated[
        str | None, Term("error", TEXT, conditions.with_error_text, gettext_lazy("error contains"), is_walked=True)
    ] = None
    has_error: Annotated[
        bool | None, Term("has_error", CHOICE, conditions.with_error, gettext_lazy("has an error"))
    ] = None
    pool: Annotated[str | None, Term("pool", TEXT, conditions.in_pool, gettext_lazy("pool"))] = None
    schedule: Annotated[
        str | None, Term("schedule", TEXT, conditions.of_schedule, gettext_lazy("schedule"), is_walked=True)
    ] = None
    #: The whole name or its beginning.
    worker: Annotated[
        str | None, Term("worker", TEXT, "worker_name__startswith", gettext_lazy("worker"), is_walked=True)
    ] = None
    submitted_by: Annotated[
        int | None, Term("submitted_by", NUMBER, "submitted_by_id", gettext_lazy("submitted by"))
    ] = None
    operation: Annotated[int | None, Term("operation", NUMBER, "operation_id", gettext_lazy("operation"))] = None
    parameters: Annotated[
        Pairs, Term("parameters", PARAMETERS, conditions.with_parameters, gettext_lazy("parameter"), is_walked=True)
    ] = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobFilter:
        """Return the filter that :meth:`as_json` wrote.

        Raises InvalidFilter for what this release does not know, and for what would ask for nothing: the filter
        without it would name more jobs.
        """
        nothing = {name for name, value in stored.items() if value == []}
        given = {name: value for name, value in stored.items() if name not in nothing}
        found, errors = read_terms(given, BY_NAME.keys(), is_stored=True)
        found |= {BY_NAME[name][0]: () for name in nothing & BY_NAME.keys()}
        if errors:
            raise InvalidFilter(errors)
        return cls(**found)

    def as_json(self) -> dict[str, Any]:
        """Return the filter as a JSON object, to be stored."""
        return {term.name: term.kind.write(value) for term, value in self.asked()}

    @property
    def is_storable(self) -> bool:
        """Return whether the filter that is stored names the same jobs as this one."""
        try:
            return JobFilter.from_json(self.as_json()) == self
        except InvalidFilter:
            return False

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is asked for, not even expressly all jobs."""
        return not self.asked()

    def rows(self, user: Any = None) -> JobQuerySet:
        """Return the jobs with all of these things, of those that this user may see; None sees all."""
        rows = Job.primary.all()
        organizations = self.organizations_for(user)
        if organizations is not None:
            rows = rows.filter(organization_id__in=organizations)
        if self._asks_for_hidden(user):
            return rows.none()
        return dataclasses.replace(self, organizations=None).narrow(rows)

    def listed(self, user: Any = None) -> Newest:
        """Return the same jobs for a list: where no index finds them, of the newest jobs alone."""
        rows = self.rows(user)
        return among_newest(rows, self.organizations_for(user), RECENT) if self.is_walked else Newest(rows, False)

    def narrow(self, rows: Rows) -> Rows:
        """Return those of these jobs that have all of these things."""
        for term, value in self.asked():
            rows = term.narrow(rows, value)
        return rows

    def organizations_for(self, user: Any) -> Collection[Any] | None:
        """Return the keys of the organizations in question that this user may see; None for all."""
        seen = None if user is None else organizations_seen_by(user)
        if seen is None:
            return self.organizations
        if self.organizations is not None:
            seen = seen.filter(pk__in=self.organizations)
        return list(seen.values_list("pk", flat=True))

    @property
    def is_walked(self) -> bool:
        """Return whether something is asked for that no index finds."""
        is_among_all = self.has_error is not None and self.error_fingerprint is None
        return is_among_all or any(term.is_walked for term, _value in self.asked())

    def both(self, other: JobFilter) -> JobFilter:
        """Return the filter of the jobs that both name. Of two single values that differ, it names none."""
        mine = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        theirs = {item.name: getattr(other, item.name) for item in dataclasses.fields(other)}
        nothing: dict[str, Any] = {}
        for name, value in theirs.items():
            if value is None or value == mine[name]:
                continue
            if mine[name] is None:
                mine[name] = value
            elif name == "parameters":
                mine[name] = (*mine[name], *value)
            elif isinstance(value, tuple) and name != "batch":
                mine[name] = tuple(item for item in mine[name] if item in value)
            elif name in ("created_after", "created_before"):
                mine[name] = max(mine[name], value) if name == "created_after" else min(mine[name], value)
            else:
                nothing = {"job_ids": ()}
        return dataclasses.replace(self, **(mine | nothing))

    def asked(self) -> list[tuple[Term, Any]]:
        """Return what is asked for: each term with its value, which is not None."""
        found = [(term, getattr(self, name)) for name, term in TERMS.items()]
        return [(term, value) for term, value in found if value is not None]

    def words(self, ids: Mapping[Any, str] | None = None) -> list[tuple[str, str]]:
        """Return what is asked for as labels and values, in the language of the reader.

        ``ids`` are those of organizations, by primary key, where they were read before.
        """
        if ids is None or self.organizations is None:
            return [term.tell(value) for term, value in self.asked()]
        told = in_words([ids.get(pk, str(pk)) for pk in self.organizations])
        return [(str(term.words), told) if term.name == PK else term.tell(value) for term, value in self.asked()]

    def _asks_for_hidden(self, user: Any) -> bool:
        """Return whether a parameter is asked for whose values this user may not read, or may not read of each job.

        Workers are asked for as well, whose names, which are those of machines, are for system admins.
        """
        if user is None or not (self.parameters or self.worker):
            return False
        if (self.worker or may_hide_jobs()) and not get_policy().is_system_admin(user):
            return True
        hidden = hidden_from(user)
        return any(asks_for_hidden(path, text, hidden) for path, text in self.parameters or ())


TERMS: Final[dict[str, Term]] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(JobFilter, include_extras=True).items()
}
#: Each field with what it asks for, by the name in JSON.
BY_NAME: Final = {term.name: (name, term) for name, term in TERMS.items()}
#: The names that a filter from outside may have.
NAMES_OUTSIDE: Final = (*(ORGANIZATION if name == PK else name for name in BY_NAME), SEARCH)


def read_terms(
    given: Mapping[str, Any], known: Collection[str], *, is_stored: bool = False
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the values by field, and what is wrong with them by the name in JSON."""
    found: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        if name not in known:
            text = _("There is no such filter; use one of: %(names)s.")
            errors[clean_text(name, 50)] = [say(text, code="unknown_filter", names=", ".join(NAMES_OUTSIDE))]
            continue
        attribute, term = BY_NAME[name]
        try:
            if is_stored:
                found[attribute] = term.restore(value)
            else:
                found[attribute] = None if value is None else term.kind.read(value)
        except ValueError as error:
            errors[name] = [said(error)]
    return found, errors
