"""A set of jobs, named by what they have in common: the one place where a filter becomes a query."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar, get_type_hints

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils import formats
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.engine.access import (
    get_policy,
    may_hide_jobs,
    organizations_named,
    organizations_seen_by,
    unknown_organization,
)
from django_jobs.engine.insight.search import RECENT, Newest, among_newest, asks_for_hidden, having, holding, path_of
from django_jobs.engine.job_types.masking import MASK, Names, hidden_from
from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.engine.store import organization_ids
from django_jobs.engine.store.counting import created_between
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.models.batch import format_batch_id, parse_batch_id
from django_jobs.models.job import JobQuerySet, format_job_id, parse_job_id
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS, Priority, Status
from django_jobs.texts import in_current_zone, listed, said, say

# How the values by which jobs are filtered are told to people, in the language and time zone of the reader.


#: Values of one field that are told to people; of more it is said how many.
SHOWN: Final = 5


def tell_value(value: Any) -> list[str]:
    """Return a value, or each of several, as text for people."""
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def tell_flag(value: bool) -> list[str]:
    """Return Yes or No."""
    return [_("Yes") if value else _("No")]


def tell_statuses(found: Iterable[str]) -> list[str]:
    """Return the labels of these statuses."""
    return [str(Status(item).label) for item in found]


def tell_priorities(found: Iterable[int]) -> list[str]:
    """Return the labels of these priorities."""
    return [Priority(item).word for item in found]


def tell_fingerprint(value: str) -> list[str]:
    """Return a fingerprint."""
    return [value or _("an error without a text")]


def tell_moment(moment: dt.datetime) -> list[str]:
    """Return a moment in the current time zone."""
    return [formats.date_format(in_current_zone(moment), "DATETIME_FORMAT")]


def tell_batch(item: Id) -> list[str]:
    """Return the id of a batch."""
    return [write_batch_id(item)]


def tell_organizations(pks: Collection[Any]) -> list[str]:
    """Return the ids that these organizations have now; of a deleted one its primary key."""
    ids = organization_ids.current_ids(pks)
    return [ids.get(pk, str(pk)) for pk in pks]


def in_words(texts: list[str]) -> str:
    """Return the values of a filter in one text, of many the first."""
    if not texts:
        return _("(none)")
    text = listed(texts[:SHOWN])
    more = len(texts) - SHOWN
    return _("%(values)s and %(count)s more") % {"values": text, "count": more} if more > 0 else text


# The values by which jobs are filtered: how each is read from text or JSON, and stored as JSON again.
#
# A reader raises ValueError with a sentence for people, and its code, where a value cannot be.


T = TypeVar("T")
#: A primary key and the year of the row's making, which an id such as ``JOB-2026-00001`` tells.
Id = tuple[int, int]

#: The path of a parameter, and its value as people type it.
Pair = tuple[tuple[str, ...], str]

#: Values of one filter: as many as the admin acts on at once.
MAX_VALUES: Final = 500
#: Characters of a text.
MAX_TEXT: Final = 200


def several(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...] | None]:
    """Return a reader of one value or a list of up to MAX_VALUES; None where none is given."""

    def read_all(given: Any) -> tuple[T, ...] | None:
        values = [item for item in (given if isinstance(given, list | tuple) else [given]) if item not in ("", None)]
        if len(values) > MAX_VALUES:
            raise ValueError(say(_("At most %(most)s values are accepted."), code="too_many", most=MAX_VALUES))
        return tuple(dict.fromkeys(read(item) for item in values)) or None

    return read_all


def read_text(value: Any) -> str | None:
    """Return a text of up to MAX_TEXT characters; None for a blank one."""
    if not isinstance(value, str):
        raise ValueError(say(_("Give a text."), code="not_a_text"))
    if len(value) > MAX_TEXT:
        raise ValueError(say(_("Give at most %(most)s characters."), code="too_long", most=MAX_TEXT))
    return read_name(value).strip() or None


def read_fingerprint(value: Any) -> str:
    """Return a fingerprint; the blank one is that of errors without a text."""
    return "" if value == "" else read_text(value) or ""


def restore_text(value: Any) -> str | None:
    """Return a stored text as it is, blanks included; None for an empty one."""
    return read_name(value) or None


def read_name(text: Any) -> str:
    """Return the text; ValueError when no row can hold it."""
    if not isinstance(text, str):
        raise ValueError(say(_("Give a text."), code="not_a_text"))
    if "\x00" in text:
        raise ValueError(say("Null characters are not allowed.", code="unstorable_text"))
    if unstorable_part(text):
        raise ValueError(say("Lone surrogates are not allowed.", code="unstorable_text"))
    return text


def read_flag(value: Any) -> bool | None:
    """Return True for true, and None for false, which asks for nothing."""
    if not isinstance(value, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return value or None


def read_choice(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return value


def read_number(value: Any) -> int:
    """Return a whole number above zero, such as a primary key."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError(say(_("Give a number."), code="not_a_number"))
    return value


def read_status(text: Any) -> str:
    """Return the text; ValueError when it is no status."""
    if text not in Status.values:
        pattern = "%(value)r is not a status; use %(choices)s."
        raise ValueError(
            say(pattern, code="not_a_status", value=clean_text(text, 50), choices=", ".join(Status.values))
        )
    return str(text)


def read_priority(value: Any) -> int:
    """Return the number of a priority that a label or a number names."""
    try:
        return int(Priority.parse(value))
    except ValueError as error:
        text = say("Use one of %(choices)s.", code="invalid_choice", choices=", ".join(Priority.words()))
        raise ValueError(text) from error


def read_job_id(text: Any) -> Id:
    """Return the key and the year of a job id; ValueError when the text is none."""
    parsed = parse_job_id(text)
    if parsed is None:
        pattern = "%(value)r is not a job id such as JOB-2026-00001."
        raise ValueError(say(pattern, code="not_a_job_id", value=clean_text(text, 50)))
    return parsed


def write_job_ids(ids: Iterable[Id]) -> list[str]:
    """Return the job ids as text."""
    return [format_job_id(*item) for item in ids]


def read_batch_id(text: Any) -> Id:
    """Return the key and the year of a batch id; ValueError when the text is none."""
    parsed = parse_batch_id(text.strip() if isinstance(text, str) else text)
    if parsed is None:
        pattern = "%(value)r is not a batch id such as BATCH-2026-00001."
        raise ValueError(say(pattern, code="not_a_batch_id", value=clean_text(text, 50)))
    return parsed


def write_batch_id(item: Id) -> str:
    """Return the batch id as text."""
    return format_batch_id(*item)


def read_moment(value: Any) -> dt.datetime:
    """Return a moment in UTC, of ISO 8601; one without a zone is in the current one."""
    try:
        moment = value if isinstance(value, dt.datetime) else parse_datetime(value)
        if moment is None:
            raise ValueError(value)
        return (make_aware(moment) if is_naive(moment) else moment).astimezone(dt.UTC)
    except (ValueError, TypeError) as error:
        raise ValueError(say(_("Give a moment such as 2026-01-31T08:00:00Z."), code="not_a_moment")) from error
    except OverflowError as error:
        raise ValueError(say("This moment is out of range.", code="out_of_range")) from error


def write_moment(moment: dt.datetime) -> str:
    """Return the moment as ISO 8601."""
    return moment.isoformat()


def read_organization_pk(value: Any) -> Any:
    """Return the primary key of an organization that a stored value stands for."""
    try:
        return get_organization_model()._meta.pk.to_python(value)
    except ValidationError as error:
        raise ValueError(say(_("This is no key of an organization."), code="not_a_key")) from error


def write_organization_pks(pks: Iterable[Any]) -> list[Any]:
    """Return primary keys as JSON has them: numbers as they are, others as text."""
    return [pk if isinstance(pk, int) else str(pk) for pk in pks]


def read_parameters(value: Any) -> tuple[Pair, ...] | None:
    """Return the wanted values of parameters, of an object or of texts such as ``customer.id:17``."""
    if isinstance(value, dict):
        pairs = [(path, _simple(item)) for path, item in value.items()]
    else:
        texts = value if isinstance(value, list | tuple) else [value]
        pairs = [_pair(item) for item in texts if item not in ("", None)]
    if len(pairs) > MAX_VALUES:
        raise ValueError(say(_("At most %(most)s values are accepted."), code="too_many", most=MAX_VALUES))
    return tuple((_path(name), text) for name, text in pairs) or None


def restore_parameters(value: Any) -> tuple[Pair, ...] | None:
    """Return the stored values of parameters with their blanks; some are stored as an object."""
    if not isinstance(value, list):
        return read_parameters(value)
    parts = [read_name(text).partition(":") for text in value]
    return tuple((_path(name), text) for name, _colon, text in parts) or None


def write_parameters(pairs: Iterable[Pair]) -> list[str]:
    """Return the wanted values as texts such as ``customer.id:17``, since a name may have several."""
    return [f"{'.'.join(path)}:{text}" for path, text in pairs]


def _pair(text: Any) -> tuple[str, str]:
    name, colon, value = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not name.strip():
        raise ValueError(say(_("Write a parameter as name:value."), code="not_a_parameter"))
    return name.strip(), read_name(value.strip())


def _path(name: Any) -> tuple[str, ...]:
    path = path_of(name) if isinstance(name, str) else None
    if path is None:
        raise ValueError(say(_("Name a parameter, or a path such as customer.id."), code="not_a_path"))
    return path


def _simple(value: Any) -> str:
    """Return a value as people would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(say(_("Compare a parameter with a text or a number."), code="not_simple"))
    return read_name(str(value))


# The kinds of values by which jobs are filtered, and what a field of a filter asks for.


Rows = TypeVar("Rows", bound=QuerySet[Any])


def _same(value: Any) -> Any:
    return value


class ValueKind(NamedTuple):
    """How the values of a field are read, which raises ValueError, written as JSON, and told to people.

    ``restored`` reads what was written, where that is not to be understood as what people give.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = _same
    tell: Callable[[Any], list[str]] = tell_value
    restored: Callable[[Any], Any] | None = None

    def restore(self, stored: Any) -> Any:
        """Return the value that was written so; None where it asks for nothing."""
        return None if stored is None else (self.restored or self.read)(stored)


STATUSES: Final = ValueKind(several(read_status), list, tell_statuses)
NAMES: Final = ValueKind(several(read_name), list)
PRIORITIES: Final = ValueKind(several(read_priority), list, tell_priorities)
KEYS: Final = ValueKind(
    several(read_organization_pk),
    write_organization_pks,
    tell_organizations,
)
JOB_IDS: Final = ValueKind(several(read_job_id), write_job_ids, write_job_ids)
BATCH: Final = ValueKind(read_batch_id, write_batch_id, tell_batch)
MOMENT: Final = ValueKind(read_moment, write_moment, tell_moment)
TEXT: Final = ValueKind(read_text, restored=restore_text)
FINGERPRINT: Final = ValueKind(read_fingerprint, tell=tell_fingerprint, restored=read_name)
NUMBER: Final = ValueKind(read_number)
CHOICE: Final = ValueKind(read_choice, tell=tell_flag)
FLAG: Final = ValueKind(read_flag, tell=tell_flag)
PARAMETERS: Final = ValueKind(read_parameters, write_parameters, write_parameters, restore_parameters)


class Term(NamedTuple):
    """What a field asks for.

    ``is_walked`` tells that no index finds the jobs: a list looks at the newest jobs alone then.
    """

    name: str
    kind: ValueKind
    condition: str | Condition
    words: Any
    is_walked: bool = False

    def restore(self, stored: Any) -> Any:
        """Return the value that was stored; ValueError where it would ask for nothing."""
        value = self.kind.restore(stored)
        if value is None:
            raise ValueError(say("%(value)s asks for nothing.", code="required", value=clean_text(repr(stored), 50)))
        return value

    def narrow(self, rows: Rows, value: Any) -> Rows:
        """Return those of the rows that have this value. A text as condition is a look-up that finds it."""
        if isinstance(self.condition, str):
            return rows.filter(**{self.condition: value})
        return apply_condition(rows, self.condition, value)

    def tell(self, value: Any) -> tuple[str, str]:
        """Return the label and the value, in the language of the reader."""
        return str(self.words), in_words(self.kind.tell(value))


# Which jobs each part of a filter finds.


#: A condition of a value, or what narrows rows by it.
Condition: TypeAlias = Callable[[Any], "Q | Narrowing"]
Narrowing: TypeAlias = Callable[[Any], Any]


def apply_condition(rows: Rows, condition: Condition, value: Any) -> Rows:
    """Return those of the rows for which the condition of this value holds."""
    narrowing = condition(value)
    return rows.filter(narrowing) if isinstance(narrowing, Q) else narrowing(rows)


def all_jobs(_value: bool) -> Q:
    """Return the condition that holds for every job."""
    return Q()


def with_ids(ids: Iterable[Id]) -> Q:
    """Return the condition for jobs with one of these ids. The year is part of an id and must be right."""
    by_year: dict[int, list[int]] = defaultdict(list)
    for pk, year in ids:
        by_year[year].append(pk)
    condition = Q(pk__in=[])
    for year, pks in by_year.items():
        condition |= Q(pk__in=pks) & made_in(year)
    return condition


def made_in(year: int, column: str = "created_at") -> Q:
    """Return the condition that a moment lies in this year, in UTC; that of no row for a year outside the calendar."""
    if not dt.MINYEAR <= year < dt.MAXYEAR:
        return Q(pk__in=[])
    begin, end = (dt.datetime(number, 1, 1, tzinfo=dt.UTC) for number in (year, year + 1))
    return Q(**{f"{column}__gte": begin, f"{column}__lt": end})


def in_statuses(statuses: Collection[str]) -> Q:
    """Return the condition that a job is in one of these statuses."""
    condition = Q(status__in=sorted(statuses))
    # This condition is that of the partial index, which is used for no other wording.
    is_narrow = bool(statuses) and IN_FLIGHT.issuperset(map(Status, statuses))
    return condition & Q(status__in=sorted(IN_FLIGHT)) if is_narrow else condition


def of_batch(item: Id) -> Q:
    """Return the condition that a job counts for the batch with this id."""
    return Q(batch_id=item[0]) & made_in(item[1], "batch__created_at")


def submitted_after(moment: dt.datetime) -> Narrowing:
    """Narrow down to the jobs that were submitted at this moment or later."""
    return lambda rows: created_between(rows, after=moment)


def submitted_before(moment: dt.datetime) -> Narrowing:
    """Narrow down to the jobs that were submitted before this moment."""
    return lambda rows: created_between(rows, before=moment)


def with_error_text(text: str) -> Q:
    """Return the condition that a job failed, and its error contains the text."""
    return Q(status__in=sorted(WITH_ERRORS), error_message__icontains=text)


def with_error(has_error: bool) -> Q:
    """Return the condition that a job has an error, or has none."""
    # Not "equal to an empty text": a database that knows nothing of the texts would take these jobs for few. Nor "up to
    # an empty text": for MariaDB a line break comes before it.
    return ~Q(error_message="") if has_error else Q(LessThanOrEqual(Length("error_message"), 0))


def in_pool(pool: str) -> Q:
    """Return the condition that a job's type runs in this pool."""
    return Q(job_type_id__in=list(JobType.primary.filter(pool=pool).values_list("pk", flat=True)))


def of_schedule(name: str) -> Narrowing:
    """Narrow down to the jobs whose metadata say that this schedule submitted them."""
    return lambda rows: holding(rows, "metadata", ("schedule",), [name])


def like_errors(start: str) -> Q:
    """Return the condition that a job failed, with an error whose fingerprint begins so."""
    return Q(status__in=sorted(WITH_ERRORS), error_fingerprint__startswith=start)


def with_parameters(pairs: Iterable[Pair]) -> Narrowing:
    """Narrow down to the jobs with these values of parameters. ``5`` finds the number and the text."""

    def narrow(rows: Any) -> Any:
        for path, text in pairs:
            rows = having(rows, path, text)
        return rows

    return narrow


# A set of jobs, named by what they have in common: the one place where a filter becomes a query.
#
# The second half reads what REST, commands and people ask for into a :class:`JobFilter`; an operation stores one as
# JSON. A field that is None asks for nothing, and an empty tuple finds no job. Each field is one line of the class: the
# name in JSON, its kind (how it is read and written), the condition, and the words for people.


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
#: How many of the newest jobs are searched for a parameter or a worker: each of their rows is read.
LOOKED_AT: Final = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Names the jobs that have all of these things. ``organizations`` are primary keys."""

    everything: Annotated[bool | None, Term("all", FLAG, all_jobs, gettext_lazy("all jobs"))] = None
    statuses: Annotated[Texts, Term("status", STATUSES, in_statuses, gettext_lazy("status"))] = None
    job_types: Annotated[Texts, Term("job_type", NAMES, "job_type_id__in", gettext_lazy("type"))] = None
    organizations: Annotated[Keys, Term(PK, KEYS, "organization_id__in", gettext_lazy("organization"))] = None
    priorities: Annotated[Numbers, Term("priority", PRIORITIES, "priority__in", gettext_lazy("priority"))] = None
    owner: Annotated[str | None, Term("owner", TEXT, "owner_name", gettext_lazy("owner"))] = None
    job_ids: Annotated[Ids, Term("job_id", JOB_IDS, with_ids, gettext_lazy("job"))] = None
    batch: Annotated[Id | None, Term("batch", BATCH, of_batch, gettext_lazy("batch"))] = None
    created_after: Annotated[Moment, Term("created_after", MOMENT, submitted_after, gettext_lazy("since"))] = None
    created_before: Annotated[Moment, Term("created_before", MOMENT, submitted_before, gettext_lazy("before"))] = None
    error_fingerprint: Annotated[
        str | None, Term("error_fingerprint", FINGERPRINT, "error_fingerprint", gettext_lazy("kind of error"))
    ] = None
    fingerprint_start: Annotated[
        str | None, Term("fingerprint_start", TEXT, like_errors, gettext_lazy("kind of error begins with"))
    ] = None
    error_text: Annotated[
        str | None, Term("error", TEXT, with_error_text, gettext_lazy("error contains"), is_walked=True)
    ] = None
    has_error: Annotated[bool | None, Term("has_error", CHOICE, with_error, gettext_lazy("has an error"))] = None
    pool: Annotated[str | None, Term("pool", TEXT, in_pool, gettext_lazy("pool"))] = None
    schedule: Annotated[str | None, Term("schedule", TEXT, of_schedule, gettext_lazy("schedule"), is_walked=True)] = (
        None
    )
    #: The whole name or its beginning.
    worker: Annotated[
        str | None, Term("worker", TEXT, "worker_name__startswith", gettext_lazy("worker"), is_walked=True)
    ] = None
    submitted_by: Annotated[
        int | None, Term("submitted_by", NUMBER, "submitted_by_id", gettext_lazy("submitted by"))
    ] = None
    operation: Annotated[int | None, Term("operation", NUMBER, "operation_id", gettext_lazy("operation"))] = None
    parameters: Annotated[
        Pairs, Term("parameters", PARAMETERS, with_parameters, gettext_lazy("parameter"), is_walked=True)
    ] = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobFilter:
        """Return the filter that :meth:`as_json` wrote.

        Raises InvalidFilter for what this release does not know, and for what would ask for nothing: the filter
        without it would name more jobs.
        """
        nothing = {name for name, value in stored.items() if value == []}
        given = {name: value for name, value in stored.items() if name not in nothing}
        values, errors = read_terms(given, BY_NAME.keys(), is_stored=True)
        values |= {BY_NAME[name][0]: () for name in nothing & BY_NAME.keys()}
        if errors:
            raise InvalidFilter(errors)
        return cls(**values)

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
    def looks_back(self) -> int | None:
        """Return how many of the newest jobs a search reads one by one; None where an index finds them."""
        return LOOKED_AT if self.parameters or self.worker else None

    @property
    def needs_bound(self) -> bool:
        """Return whether finding a page of these jobs could mean to read all jobs."""
        return bool(self.job_types or self.fingerprint_start or self.error_text) or self.error_fingerprint is not None

    @property
    def is_selective(self) -> bool:
        """Return whether an index leaves so few jobs that other conditions need no bound."""
        single = (self.job_ids, self.batch, self.operation, self.submitted_by)
        return bool(self.organizations) or any(value is not None for value in single)

    def among_newest(self, rows: QuerySet[Any], organizations: Collection[Any] | None) -> Newest:
        """Return those of the jobs that match and, where a search is bounded, are among the newest of these
        organizations (None: of all). ``rows`` must be jobs of these organizations already.
        """
        matching = self.narrow(rows)
        most = self.looks_back or (RECENT if self.needs_bound and not self.is_selective else None)
        return Newest(matching, False) if most is None else among_newest(matching, organizations, most)

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

    @property
    def names(self) -> set[str]:
        """Return the fields by which something is asked for."""
        return {name for name in TERMS if getattr(self, name) is not None}

    def asked(self) -> list[tuple[Term, Any]]:
        """Return what is asked for: each term with its value, which is not None."""
        pairs = [(term, getattr(self, name)) for name, term in TERMS.items()]
        return [(term, value) for term, value in pairs if value is not None]

    def words(self, ids: Mapping[Any, str] | None = None) -> list[tuple[str, str]]:
        """Return what is asked for as labels and values, in the language of the reader.

        ``ids`` are those of organizations, by primary key, where they were read before.
        """
        if ids is None or self.organizations is None:
            return [term.tell(value) for term, value in self.asked()]
        organizations = in_words([ids.get(pk, str(pk)) for pk in self.organizations])
        return [
            (str(term.words), organizations) if term.name == PK else term.tell(value) for term, value in self.asked()
        ]

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
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        if name not in known:
            text = _("There is no such filter; use one of: %(names)s.")
            errors[clean_text(name, 50)] = [say(text, code="unknown_filter", names=", ".join(NAMES_OUTSIDE))]
            continue
        attribute, term = BY_NAME[name]
        try:
            if is_stored:
                values[attribute] = term.restore(value)
            else:
                values[attribute] = None if value is None else term.kind.read(value)
        except ValueError as error:
            errors[name] = [said(error)]
    return values, errors


# A filter as it comes from outside: by the names of the list's parameters, with the ids of organizations.


#: The blank fingerprint is that of errors without a text.
MAY_BE_BLANK: Final = ("error_fingerprint",)


def read_filter(given: Any, user: Any = None) -> JobFilter:
    """Return the filter that an object from outside means, of what this user may know of.

    Its names are those of the list's parameters. Raises InvalidFilter with what is wrong by name, as a blank value,
    which would be left out, so that more jobs were named than was meant; None is a name that is not given.
    """
    if not isinstance(given, Mapping):
        raise InvalidFilter(
            {"filters": [say(_("Give an object with the parameters of the list of jobs."), code="not_an_object")]}
        )
    if blank := [name for name, value in given.items() if name not in MAY_BE_BLANK and _is_blank(value)]:
        is_blank = say(_("Give a value: a blank one would name all jobs."), code="blank")
        raise InvalidFilter({name: [is_blank] for name in blank})
    terms = {name: value for name, value in given.items() if name not in (ORGANIZATION, SEARCH)}
    values, errors = read_terms(terms, BY_NAME.keys() - {PK})
    errors |= _read_organizations(given.get(ORGANIZATION), user, values)
    text = None
    try:
        text = read_text(given.get(SEARCH) or "")
    except ValueError as error:
        errors[SEARCH] = [said(error)]
    if errors:
        raise InvalidFilter(errors)
    return JobFilter(**values).both(searched(text or ""))


def _is_blank(value: Any) -> bool:
    """Return whether this is a blank text, or holds nothing but blank texts."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | dict) and all(isinstance(item, str) and not item.strip() for item in value)


def _read_organizations(given: Any, user: Any, found: dict[str, Any]) -> dict[str, list[str]]:
    """Put the keys of the organizations with these ids into ``found``; return what is wrong with them."""
    try:
        names = several(_read_id)(given)
    except ValueError as error:
        return {ORGANIZATION: [said(error)]}
    if names is None:
        return {}
    keys = organizations_named(set(names), user, is_trusted=user is None)
    unknown = [name for name in names if name not in keys]
    if unknown:
        return {ORGANIZATION: [unknown_organization(name) for name in unknown]}
    found["organizations"] = tuple(keys[name] for name in names)
    return {}


def _read_id(value: Any) -> str:
    """Return an organization's id as text; some hosts' ids are numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else read_name(value)


def searched(text: str) -> JobFilter:
    """Return the filter that a text means which people search for: a job id, or else a part of an error."""
    if not text.strip():
        return JobFilter()
    try:
        return JobFilter(job_ids=(read_job_id(text.strip()),))
    except ValueError:
        return JobFilter(error_text=text)


def as_given(filters: JobFilter, ids: Mapping[Any, str]) -> dict[str, Any]:
    """Return the filter as it is given from outside, with the ids of organizations by primary key.

    One without an id there is told by its key.
    """
    given = filters.as_json()
    if PK in given:
        given[ORGANIZATION] = [ids.get(pk, str(pk)) for pk in filters.organizations or ()]
        del given[PK]
    return given


def without_secrets(filters: JobFilter, names: Names) -> JobFilter:
    """Return the filter as it is told to somebody who may not read these keys: what it asks of them is masked."""
    if not names or not filters.parameters:
        return filters
    pairs = ((path, MASK if asks_for_hidden(path, text, names) else text) for path, text in filters.parameters)
    return dataclasses.replace(filters, parameters=tuple(pairs))
