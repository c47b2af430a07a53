"""A set of jobs, named by what they have in common: the one place where a filter becomes a query."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

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
from django_jobs.engine.organizations import current_ids
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


def tell_flag(value: bool) -> str:
    """Return Yes or No."""
    return _("Yes") if value else _("No")


def tell_moment(moment: dt.datetime) -> str:
    """Return a moment in the current time zone."""
    return formats.date_format(in_current_zone(moment), "DATETIME_FORMAT")


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


#: A primary key and the year of the row's making, which an id such as ``JOB-2026-00001`` tells.
Id = tuple[int, int]

#: The path of a parameter, and its value as people type it.
Pair = tuple[tuple[str, ...], str]

#: Values of one filter: as many as the admin acts on at once.
MAX_VALUES: Final = 500
#: Characters of a text.
MAX_TEXT: Final = 200


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


def read_yes(value: Any) -> bool | None:
    """Return True for true, and None for false, which asks for nothing."""
    if not isinstance(value, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return value or None


def read_choice(value: Any) -> bool:
    """Return true or false, also for the words that people type."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    choice = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(choice, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return choice


def read_number(value: Any) -> int:
    """Return a whole number above zero, such as a primary key."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**63:
        raise ValueError(say(_("Give a number."), code="not_a_number"))
    return number


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


def read_batch_id(text: Any) -> Id:
    """Return the key and the year of a batch id; ValueError when the text is none."""
    parsed = parse_batch_id(text.strip() if isinstance(text, str) else text)
    if parsed is None:
        pattern = "%(value)r is not a batch id such as BATCH-2026-00001."
        raise ValueError(say(pattern, code="not_a_batch_id", value=clean_text(text, 50)))
    return parsed


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


def read_organization_id(value: Any) -> str:
    """Return an organization's id as text; some hosts' ids are numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else read_name(value)


def read_organization_pk(value: Any) -> Any:
    """Return the primary key of an organization that a stored value stands for."""
    try:
        return get_organization_model()._meta.pk.to_python(value)
    except ValidationError as error:
        raise ValueError(say(_("This is no key of an organization."), code="not_a_key")) from error


def read_pair(value: Any) -> Pair:
    """Return a parameter and its value, of a text such as ``customer.id:17`` or an item of an object."""
    if isinstance(value, tuple):
        return _path(value[0]), _simple(value[1])
    name, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not name.strip():
        raise ValueError(say(_("Write a parameter as name:value."), code="not_a_parameter"))
    return _path(name.strip()), read_name(text.strip())


def restore_pair(stored: Any) -> Pair:
    """Return a stored parameter and its value with its blanks."""
    name, _colon, text = read_name(stored).partition(":")
    return _path(name), text


def write_pair(pair: Pair) -> str:
    """Return a parameter and its value as a text such as ``customer.id:17``."""
    return f"{'.'.join(pair[0])}:{pair[1]}"


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
    """How a value of a field is read, which raises ValueError, written as JSON, and told to people (else as written).

    ``restored`` reads what was written, where that is not to be understood as what people give.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = _same
    tell: Callable[[Any], Any] | None = None
    restored: Callable[[Any], Any] | None = None
    is_repeated: bool = False
    metavar: str = "TEXT"

    def read_given(self, given: Any, *, is_stored: bool = False) -> Any:
        """Return the value that is given, or the values of which a list or an object may be given; None for nothing."""
        read = self.restored if is_stored and self.restored else self.read
        if given is None or not self.is_repeated:
            return None if given is None else read(given)
        given = list(given.items()) if isinstance(given, dict) else given
        values = [item for item in (given if isinstance(given, list | tuple) else [given]) if item not in ("", None)]
        if len(values) > MAX_VALUES:
            raise ValueError(say(_("At most %(most)s values are accepted."), code="too_many", most=MAX_VALUES))
        return tuple(dict.fromkeys(map(read, values))) or None


STATUSES: Final = ValueKind(read_status, tell=lambda status: Status(status).label, is_repeated=True)
NAMES: Final = ValueKind(read_name, is_repeated=True)
PRIORITIES: Final = ValueKind(read_priority, tell=lambda number: Priority(number).word, is_repeated=True)
#: Numbers stay what they are in JSON, other primary keys are texts.
KEYS: Final = ValueKind(read_organization_pk, lambda pk: pk if isinstance(pk, int) else str(pk), is_repeated=True)
JOB_IDS: Final = ValueKind(read_job_id, lambda item: format_job_id(*item), is_repeated=True)
BATCH: Final = ValueKind(read_batch_id, lambda item: format_batch_id(*item))
MOMENT: Final = ValueKind(read_moment, dt.datetime.isoformat, tell_moment, metavar="MOMENT")
TEXT: Final = ValueKind(read_text, restored=restore_text)
FINGERPRINT: Final = ValueKind(
    read_fingerprint, tell=lambda value: value or _("an error without a text"), restored=read_name
)
NUMBER: Final = ValueKind(read_number, metavar="N")
CHOICE: Final = ValueKind(read_choice, tell=tell_flag, metavar="yes|no")
YES: Final = ValueKind(read_yes, tell=tell_flag)
IDS: Final = ValueKind(read_organization_id, is_repeated=True)
PARAMETERS: Final = ValueKind(read_pair, write_pair, restored=restore_pair, is_repeated=True, metavar="NAME:VALUE")


class Term(NamedTuple):
    """What a field asks for.

    ``is_walked`` tells that no index finds the jobs: a list looks at the newest jobs alone then.
    """

    kind: ValueKind
    condition: str | Condition
    label: Any
    help: str
    is_walked: bool = False

    def restore(self, stored: Any) -> Any:
        """Return the value that was stored; ValueError where it would ask for nothing."""
        if stored == [] and self.kind.is_repeated:
            return ()
        value = self.kind.read_given(stored, is_stored=True)
        if value is None:
            raise ValueError(say("%(value)s asks for nothing.", code="required", value=clean_text(repr(stored), 50)))
        return value

    def write(self, value: Any) -> Any:
        """Return the value as JSON has it."""
        return list(map(self.kind.write, value)) if self.kind.is_repeated else self.kind.write(value)

    def values_of(self, value: Any) -> list[Any]:
        """Return the values one by one."""
        return list(value) if self.kind.is_repeated else [value]

    def tell(self, value: Any, ids: Mapping[Any, str]) -> list[str]:
        """Return each value as text for people; ``ids`` are those of organizations, by primary key."""
        if self.kind == KEYS:
            return [ids.get(pk, str(pk)) for pk in value]
        return [str((self.kind.tell or self.kind.write)(item)) for item in self.values_of(value)]

    def narrow(self, rows: Rows, value: Any) -> Rows:
        """Return those of the rows that have this value. A text as condition is a look-up that finds it."""
        if isinstance(self.condition, str):
            return rows.filter(**{self.condition: value})
        narrowing = self.condition(value)
        return rows.filter(narrowing) if isinstance(narrowing, Q) else narrowing(rows)


# Which jobs each part of a filter finds.


#: A condition of a value, or what narrows rows by it.
Condition: TypeAlias = Callable[[Any], "Q | Narrowing"]
Narrowing: TypeAlias = Callable[[Any], Any]


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


#: What each field of a filter asks for. A new filter is an entry here, and a field of the class.
TERMS: Final[dict[str, Term]] = {
    "all": Term(YES, lambda _yes: Q(), gettext_lazy("all jobs"), "All jobs, where no other filter names any"),
    "status": Term(STATUSES, in_statuses, gettext_lazy("status"), "In this status"),
    "job_type": Term(NAMES, "job_type_id__in", gettext_lazy("type"), "Of this job type"),
    PK: Term(KEYS, "organization_id__in", gettext_lazy("organization"), "Of this organization"),
    "priority": Term(PRIORITIES, "priority__in", gettext_lazy("priority"), "Of this priority"),
    "owner": Term(TEXT, "owner_name", gettext_lazy("owner"), "Of this user"),
    "job_id": Term(JOB_IDS, with_ids, gettext_lazy("job"), "This job, such as JOB-2026-00001"),
    "batch": Term(BATCH, of_batch, gettext_lazy("batch"), "Of this batch, such as BATCH-2026-00001"),
    "created_after": Term(
        MOMENT,
        submitted_after,
        gettext_lazy("since"),
        "Submitted at this moment or later, such as 2026-01-31T08:00:00Z",
    ),
    "created_before": Term(MOMENT, submitted_before, gettext_lazy("before"), "Submitted before this moment"),
    "error_fingerprint": Term(
        FINGERPRINT,
        "error_fingerprint",
        gettext_lazy("kind of error"),
        "With this kind of error; blank: errors without a text",
    ),
    "fingerprint_start": Term(
        TEXT, like_errors, gettext_lazy("kind of error begins with"), "With a kind of error whose fingerprint begins so"
    ),
    "error": Term(
        TEXT, with_error_text, gettext_lazy("error contains"), "Whose error contains this text", is_walked=True
    ),
    "has_error": Term(CHOICE, with_error, gettext_lazy("has an error"), "Which have an error, or have none"),
    "pool": Term(TEXT, in_pool, gettext_lazy("pool"), "Of the types of this pool"),
    "schedule": Term(
        TEXT,
        of_schedule,
        gettext_lazy("schedule"),
        "Which schedules of this name submitted, of all organizations",
        is_walked=True,
    ),
    "worker": Term(
        TEXT,
        "worker_name__startswith",
        gettext_lazy("worker"),
        "Whose latest worker has this name, or one that begins so",
        is_walked=True,
    ),
    "submitted_by": Term(
        NUMBER,
        "submitted_by_id",
        gettext_lazy("submitted by"),
        "Which the handler of the job with this number submitted",
    ),
    "operation": Term(
        NUMBER, "operation_id", gettext_lazy("operation"), "Which the operation with this number acted on last"
    ),
    "parameters": Term(
        PARAMETERS, with_parameters, gettext_lazy("parameter"), "With this value of a parameter", is_walked=True
    ),
}
#: The names that a filter from outside may have.
NAMES_OUTSIDE: Final = (*(ORGANIZATION if name == PK else name for name in TERMS), SEARCH)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Names the jobs that have all of these things. ``organizations`` are primary keys."""

    all: bool | None = None
    status: Texts = None
    job_type: Texts = None
    organization_pk: Keys = None
    priority: Numbers = None
    owner: str | None = None
    job_id: Ids = None
    batch: Id | None = None
    created_after: Moment = None
    created_before: Moment = None
    error_fingerprint: str | None = None
    fingerprint_start: str | None = None
    error: str | None = None
    has_error: bool | None = None
    pool: str | None = None
    schedule: str | None = None
    worker: str | None = None
    submitted_by: int | None = None
    operation: int | None = None
    parameters: Pairs = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobFilter:
        """Return the filter that :meth:`as_json` wrote.

        Raises InvalidFilter for what this release does not know, and for what would ask for nothing: the filter
        without it would name more jobs.
        """
        values: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for name, value in stored.items():
            try:
                values[name] = _term(name).restore(value)
            except ValueError as error:
                errors[name] = [said(error)]
        if errors:
            raise InvalidFilter(errors)
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Return the filter as a JSON object, to be stored."""
        return {name: TERMS[name].write(value) for name, value in self.asked().items()}

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
        return dataclasses.replace(self, organization_pk=None).narrow(rows)

    def listed(self, user: Any = None) -> Newest:
        """Return the same jobs for a list: where no index finds them, of the newest jobs alone."""
        rows = self.rows(user)
        return among_newest(rows, self.organizations_for(user), RECENT) if self.is_walked else Newest(rows, False)

    def narrow(self, rows: Rows) -> Rows:
        """Return those of these jobs that have all of these things."""
        for name, value in self.asked().items():
            rows = TERMS[name].narrow(rows, value)
        return rows

    def organizations_for(self, user: Any) -> Collection[Any] | None:
        """Return the keys of the organizations in question that this user may see; None for all."""
        seen = None if user is None else organizations_seen_by(user)
        if seen is None:
            return self.organization_pk
        if self.organization_pk is not None:
            seen = seen.filter(pk__in=self.organization_pk)
        return list(seen.values_list("pk", flat=True))

    @property
    def looks_back(self) -> int | None:
        """Return how many of the newest jobs a search reads one by one; None where an index finds them."""
        return LOOKED_AT if self.parameters or self.worker else None

    @property
    def needs_bound(self) -> bool:
        """Return whether finding a page of these jobs could mean to read all jobs."""
        asked = (self.job_type, self.pool, self.fingerprint_start, self.error, self.has_error)
        return any(asked) or Priority.NORMAL in (self.priority or ()) or self.error_fingerprint is not None

    @property
    def is_selective(self) -> bool:
        """Return whether an index leaves so few jobs that other conditions need no bound."""
        single = (self.job_id, self.batch, self.operation, self.submitted_by)
        return bool(self.organization_pk) or any(value is not None for value in single)

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
        return is_among_all or any(TERMS[name].is_walked for name in self.asked())

    def both(self, other: JobFilter) -> JobFilter:
        """Return the filter of the jobs that both name. Of two single values that differ, it names none."""
        both = self.asked()
        for name, value in other.asked().items():
            mine = both.setdefault(name, value)
            if value == mine:
                continue
            if name == "parameters":
                both[name] = tuple(dict.fromkeys((*mine, *value)))
            elif TERMS[name].kind.is_repeated:
                both[name] = tuple(item for item in mine if item in value)
            elif name in ("created_after", "created_before"):
                both[name] = max(mine, value) if name == "created_after" else min(mine, value)
            else:
                return JobFilter(job_id=())
        return JobFilter(**both)

    def asked(self) -> dict[str, Any]:
        """Return what is asked for: each field with its value, which is not None."""
        pairs = {name: getattr(self, name) for name in TERMS}
        return {name: value for name, value in pairs.items() if value is not None}

    def words(self, ids: Mapping[Any, str] | None = None) -> list[tuple[str, str]]:
        """Return what is asked for as labels and values, in the language of the reader.

        ``ids`` are those of organizations, by primary key, where they were read before.
        """
        ids = current_ids(self.organization_pk or ()) if ids is None else ids
        return [
            (str(TERMS[name].label), in_words(TERMS[name].tell(value, ids))) for name, value in self.asked().items()
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


#: The blank fingerprint is that of errors without a text.
MAY_BE_BLANK: Final = ("error_fingerprint",)


def _term(name: str) -> Term:
    """Return what the field of this name asks for."""
    if name not in TERMS:
        text = _("There is no such filter; use one of: %(names)s.")
        raise ValueError(say(text, code="unknown_filter", names=", ".join(NAMES_OUTSIDE)))
    return TERMS[name]


def read_filter(given: Any, user: Any = None) -> JobFilter:
    """Return the filter that an object from outside means, of what this user may know of.

    Its names are those of the list's parameters, with the ids of organizations. Raises InvalidFilter with what is wrong
    by name, as a blank value, which would be left out, so that more jobs were named than was meant; None is a name that
    is not given.
    """
    if not isinstance(given, Mapping):
        raise InvalidFilter(
            {"filters": [say(_("Give an object with the parameters of the list of jobs."), code="not_an_object")]}
        )
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    search = ""
    for name, value in given.items():
        try:
            if name not in MAY_BE_BLANK and _is_blank(value):
                raise ValueError(say(_("Give a value: a blank one would name all jobs."), code="blank"))
            if name == ORGANIZATION:
                values[PK] = _read_organizations(value, user)
            elif name == SEARCH:
                search = read_text(value or "") or ""
            else:
                values[name] = _term("" if name == PK else name).kind.read_given(value)
        except InvalidFilter as error:
            errors |= error.errors
        except ValueError as error:
            errors[clean_text(name, 50)] = [said(error)]
    if errors:
        raise InvalidFilter(errors)
    return JobFilter(**values).both(searched(search))


def _is_blank(value: Any) -> bool:
    """Return whether this is a blank text, or holds nothing but blank texts."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | dict) and all(isinstance(item, str) and not item.strip() for item in value)


def _read_organizations(given: Any, user: Any) -> tuple[Any, ...] | None:
    """Return the keys of the organizations with these ids; None where none is given."""
    names = IDS.read_given(given)
    if names is None:
        return None
    keys = organizations_named(set(names), user, is_trusted=user is None)
    unknown = [name for name in names if name not in keys]
    if unknown:
        raise InvalidFilter({ORGANIZATION: [unknown_organization(name) for name in unknown]})
    return tuple(keys[name] for name in names)


def searched(text: str) -> JobFilter:
    """Return the filter that a text means which people search for: a job id, or else a part of an error."""
    if not text.strip():
        return JobFilter()
    try:
        return JobFilter(job_id=(read_job_id(text.strip()),))
    except ValueError:
        return JobFilter(error=text)


def as_given(filters: JobFilter, ids: Mapping[Any, str]) -> dict[str, Any]:
    """Return the filter as it is given from outside, with the ids of organizations by primary key.

    One without an id there is told by its key.
    """
    given = filters.as_json()
    if PK in given:
        given[ORGANIZATION] = [ids.get(pk, str(pk)) for pk in filters.organization_pk or ()]
        del given[PK]
    return given


def without_secrets(filters: JobFilter, names: Names) -> JobFilter:
    """Return the filter as it is told to somebody who may not read these keys: what it asks of them is masked."""
    if not names or not filters.parameters:
        return filters
    pairs = ((path, MASK if asks_for_hidden(path, text, names) else text) for path, text in filters.parameters)
    return dataclasses.replace(filters, parameters=tuple(pairs))
