"""A set of jobs, named by what they have in common: the one place where a filter becomes a query."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils import formats
from django.utils.dateparse import parse_datetime
from django.utils.timesince import timesince
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.engine.access import (
    may_hide_jobs,
    unknown_organization,
)
from django_jobs.engine.insight.search import RECENT, Newest, among_newest, asks_for_hidden, having, holding, path_of
from django_jobs.engine.job_types.masking import MASK, Names, hidden_from
from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import created_between
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, JobType, Operation, get_organization_model
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


def tell_moment(moment: Moment) -> str:
    """Return a moment in the current time zone, or how long ago it is."""
    if isinstance(moment, dt.timedelta):
        now = database.now()
        return _("%(duration)s ago") % {"duration": timesince(now - moment, now)}
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

#: A moment, or how long ago it is when the jobs are looked for.
Moment: TypeAlias = dt.datetime | dt.timedelta
#: How long ago a moment is: a number of minutes, hours or days.
_AGO: Final = re.compile(r"([1-9]\d{0,4})([mhd])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

#: Values of one filter: as many as the admin acts on at once.
MAX_VALUES: Final = 500
#: Characters of a text, and of one that cannot be and is shown.
MAX_TEXT: Final = 200
MAX_SHOWN: Final = 100


def read_text(value: Any) -> str | None:
    """Return a text of up to MAX_TEXT characters; None for a blank one."""
    text = read_name(value)
    if len(text) > MAX_TEXT:
        raise ValueError(say(_("Give at most %(most)s characters."), code="too_long", most=MAX_TEXT))
    return text.strip() or None


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
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
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


def read_moment_or_age(value: Any) -> Moment:
    """Return a moment as :func:`read_moment` does, or how long ago it is, of a text such as ``24h``."""
    age = _AGO.fullmatch(value) if isinstance(value, str) else None
    return dt.timedelta(**{_UNITS[age[2]]: int(age[1])}) if age else read_moment(value)


def as_moment(moment: Moment) -> dt.datetime:
    """Return the moment, which may be given by how long ago it is."""
    return database.now() - moment if isinstance(moment, dt.timedelta) else moment


def read_job_number(value: Any) -> int:
    """Return the number of a job, which its id tells as well."""
    parsed = parse_job_id(value) if isinstance(value, str) else None
    return parsed[0] if parsed else read_number(value)


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
    #: What one value looks like, in JSON Schema.
    schema: Mapping[str, Any] = {"type": "string"}

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


STATUSES: Final = ValueKind(
    read_status,
    tell=lambda status: Status(status).label,
    is_repeated=True,
    schema={"type": "string", "enum": list(Status.values)},
)
NAMES: Final = ValueKind(read_name, is_repeated=True)
PRIORITIES: Final = ValueKind(
    read_priority,
    tell=lambda number: Priority(number).word,
    is_repeated=True,
    schema={
        "oneOf": [{"type": "string", "enum": Priority.words()}, {"type": "integer", "enum": list(map(int, Priority))}]
    },
)
#: From outside, organizations are named by their ids, which :meth:`JobFilter.read` looks up; else by their primary
#: keys. Numbers stay what they are in JSON, other keys are texts.
ORGANIZATIONS: Final = ValueKind(
    read_organization_id,
    lambda pk: pk if isinstance(pk, int) else str(pk),
    restored=read_organization_pk,
    is_repeated=True,
)
JOB_IDS: Final = ValueKind(read_job_id, lambda item: format_job_id(*item), is_repeated=True)
BATCH: Final = ValueKind(read_batch_id, lambda item: format_batch_id(*item))
MOMENT: Final = ValueKind(
    read_moment_or_age,
    lambda moment: as_moment(moment).isoformat(),
    tell_moment,
    metavar="MOMENT",
    schema={"type": "string", "format": "date-time"},
)
TEXT: Final = ValueKind(read_text, restored=restore_text)
FINGERPRINT: Final = ValueKind(
    read_fingerprint, tell=lambda value: value or _("an error without a text"), restored=read_name
)
NUMBER: Final = ValueKind(read_number, metavar="N", schema={"type": "integer", "minimum": 1})
JOB_NUMBER: Final = ValueKind(read_job_number, metavar="JOB")
CHOICE: Final = ValueKind(read_choice, tell=tell_flag, metavar="yes|no", schema={"type": "boolean"})
YES: Final = ValueKind(read_yes, tell=tell_flag)
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
    #: A shorter name, where people type it.
    short: str = ""

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
        if self.kind == ORGANIZATIONS:
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


def submitted_after(moment: Moment) -> Narrowing:
    """Narrow down to the jobs that were submitted at this moment or later."""
    return lambda rows: created_between(rows, after=as_moment(moment))


def submitted_before(moment: Moment) -> Narrowing:
    """Narrow down to the jobs that were submitted before this moment."""
    return lambda rows: created_between(rows, before=as_moment(moment))


def with_fingerprint(fingerprint: str) -> Q:
    """Return the condition that a job has an error with this fingerprint; blank, that its error has no text."""
    return Q(error_fingerprint=fingerprint) & (Q() if fingerprint else Q(status__in=sorted(WITH_ERRORS)))


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
# :meth:`JobFilter.read` reads what REST, commands, addresses and people ask for; an operation stores one as JSON. A
# field that is None asks for nothing, and an empty tuple finds no job. Each field is an entry of ``TERMS``: the name
# that it has everywhere, its kind (how it is read and written), the condition, and the words for people.


Texts: TypeAlias = tuple[str, ...] | None
Numbers: TypeAlias = tuple[int, ...] | None
Keys: TypeAlias = tuple[Any, ...] | None
Ids: TypeAlias = tuple[Id, ...] | None
Pairs: TypeAlias = tuple[Pair, ...] | None

ORGANIZATION: Final = "organization"
#: Not stored, but read: a job id, or else a text in the error.
SEARCH: Final = "search"
#: Expressly all jobs. A list has all of them without a word.
ALL: Final = "all"
#: How many of the newest jobs are searched for a parameter or a worker: each of their rows is read.
LOOKED_AT: Final = 10_000


#: What each field of a filter asks for. A new filter is an entry here, and a field of the class.
TERMS: Final[dict[str, Term]] = {
    ALL: Term(YES, lambda _yes: Q(), gettext_lazy("all jobs"), "All jobs, where no other filter names any"),
    "status": Term(STATUSES, in_statuses, gettext_lazy("status"), "In this status"),
    "job_type": Term(NAMES, "job_type_id__in", gettext_lazy("type"), "Of this job type", short="type"),
    "organization": Term(ORGANIZATIONS, "organization_id__in", gettext_lazy("organization"), "Of this organization"),
    "priority": Term(PRIORITIES, "priority__in", gettext_lazy("priority"), "Of this priority"),
    "owner": Term(TEXT, "owner_name", gettext_lazy("owner"), "Of this user"),
    "job_id": Term(JOB_IDS, with_ids, gettext_lazy("job"), "This job, such as JOB-2026-00001", short="job"),
    "batch": Term(BATCH, of_batch, gettext_lazy("batch"), "Of this batch, such as BATCH-2026-00001"),
    "created_after": Term(
        MOMENT,
        submitted_after,
        gettext_lazy("since"),
        "Submitted at this moment or later, such as 2026-01-31T08:00:00Z, or 24h for as long ago",
    ),
    "created_before": Term(MOMENT, submitted_before, gettext_lazy("before"), "Submitted before this moment"),
    "error_fingerprint": Term(
        FINGERPRINT,
        with_fingerprint,
        gettext_lazy("kind of error"),
        "With this kind of error; blank: errors without a text",
        short="fingerprint",
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
        JOB_NUMBER,
        "submitted_by_id",
        gettext_lazy("submitted by"),
        "Which the handler of this job submitted, such as JOB-2026-00001 or its number",
    ),
    "operation": Term(
        NUMBER, "operation_id", gettext_lazy("operation"), "Which the operation with this number acted on last"
    ),
    "parameters": Term(
        PARAMETERS, with_parameters, gettext_lazy("parameter"), "With this value of a parameter", is_walked=True
    ),
}
#: What a filter from outside may have.
GIVEN_TERMS: Final[dict[str, Term]] = {
    **TERMS,
    SEARCH: Term(TEXT, "", gettext_lazy("search"), "This job, or whose error contains this text"),
}
#: What narrows a list.
LIST_TERMS: Final = {name: term for name, term in GIVEN_TERMS.items() if name != ALL}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Names the jobs that have all of these things. ``organization`` has primary keys."""

    all: bool | None = None
    status: Texts = None
    job_type: Texts = None
    organization: Keys = None
    priority: Numbers = None
    owner: str | None = None
    job_id: Ids = None
    batch: Id | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
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
    def read(cls, given: Any, user: Any = None) -> JobFilter:
        """Return the filter that an object from outside means, of what this user may know of (None: of all).

        Its names are those of GIVEN_TERMS, with the ids of organizations. Raises InvalidFilter with what is wrong by
        name, as a blank value, which would be left out, so that more jobs were named than was meant; None is a name
        that is not given.
        """
        if not isinstance(given, Mapping):
            text = say(_("Give an object with the parameters of the list of jobs."), code="not_an_object")
            raise InvalidFilter({"filters": [text]})

        values = read_terms(given, user)
        search = values.pop(SEARCH, None) or ""
        return cls(**values).both(searched(search))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobFilter:
        """Return the filter that :meth:`as_json` wrote.

        Raises InvalidFilter for what this release does not know, and for what would ask for nothing: the filter
        without it would name more jobs.
        """
        return cls(**_read_each(stored, lambda name, value: _term(name, TERMS).restore(value)))

    def as_json(self) -> dict[str, Any]:
        """Return the filter as a JSON object, to be stored."""
        return {name: TERMS[name].write(value) for name, value in self.asked().items()}

    @property
    def is_storable(self) -> bool:
        """Return whether the filter that is stored names the same jobs as this one."""
        stored = self.as_json()
        try:
            return JobFilter.from_json(stored).as_json() == stored
        except InvalidFilter:
            return False

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is asked for, not even expressly all jobs."""
        return not self.asked()

    def queryset(self, user: Any = None) -> JobQuerySet:
        """Return the jobs with all of these things, of those that this user may see; None sees all."""
        rows = Job.primary.all()
        organizations = self.organizations_for(user)
        if organizations is not None:
            rows = rows.filter(organization_id__in=organizations)
        if self.asks_for_hidden(user):
            return rows.none()
        return dataclasses.replace(self, organization=None).narrow(rows)

    def listed(self, user: Any = None) -> Newest:
        """Return the same jobs for a list: where no index finds them, of the newest jobs alone."""
        rows = self.queryset(user)
        return among_newest(rows, self.organizations_for(user), RECENT) if self.is_walked else Newest(rows, False)

    def narrow(self, rows: Rows) -> Rows:
        """Return those of these jobs that have all of these things."""
        for name, value in self.asked().items():
            rows = TERMS[name].narrow(rows, value)
        return rows

    def organizations_for(self, user: Any) -> Collection[Any] | None:
        """Return the keys of the organizations in question that this user may see; None for all."""
        scope = Scope(user)
        if scope.is_system_admin or self.organization is None:
            return self.organization if scope.is_system_admin else scope.organizations
        return list(scope.tenants.filter(pk__in=self.organization).values_list("pk", flat=True))

    @property
    def looks_back(self) -> int | None:
        """Return how many of the newest jobs a list reads one by one; None where an index finds them."""
        is_in_flight = bool(self.status) and IN_FLIGHT.issuperset(map(Status, self.status or ()))
        return LOOKED_AT if self.parameters or self.schedule or (self.worker and not is_in_flight) else None

    @property
    def needs_bound(self) -> bool:
        """Return whether finding a page of these jobs could mean to read all jobs."""
        asked = (self.job_type, self.pool, self.fingerprint_start, self.error, self.has_error)
        return any(asked) or Priority.NORMAL in (self.priority or ()) or self.error_fingerprint is not None

    @property
    def is_selective(self) -> bool:
        """Return whether an index leaves so few jobs that other conditions need no bound."""
        single = (self.job_id, self.batch, self.operation, self.submitted_by)
        is_rare = bool(self.status) and Status.COMPLETED not in (self.status or ())
        return is_rare or bool(self.organization) or any(value is not None for value in single)

    @property
    def bound(self) -> int | None:
        """Return how many of the newest jobs a page of the console looks at; None for all."""
        return self.looks_back or (RECENT if self.needs_bound and not self.is_selective else None)

    def among_newest(self, rows: QuerySet[Any], organizations: Collection[Any] | None) -> Newest:
        """Return those of the jobs that match and, where a search is bounded, are among the newest of these
        organizations (None: of all). ``rows`` must be jobs of these organizations already.
        """
        matching = self.narrow(rows)
        return Newest(matching, False) if self.bound is None else among_newest(matching, organizations, self.bound)

    @property
    def walked(self) -> str | None:
        """Return the name of something that is asked for and that no index finds; None where indexes find all."""
        if self.has_error is not None and self.error_fingerprint is None:
            return "has_error"
        return next((name for name in self.asked() if TERMS[name].is_walked), None)

    @property
    def is_walked(self) -> bool:
        """Return whether something is asked for that no index finds."""
        return self.walked is not None

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
                both[name] = (max if name == "created_after" else min)(mine, value, key=as_moment)
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
        ids = current_ids(self.organization or ()) if ids is None else ids
        return [
            (str(TERMS[name].label), in_words(TERMS[name].tell(value, ids))) for name, value in self.asked().items()
        ]

    def asks_for_hidden(self, user: Any) -> bool:
        """Return whether a parameter is asked for whose values this user may not read, or may not read of each job.

        So are the names of workers, which are those of machines, and operations of others: both for system admins.
        """
        if user is None or not (self.parameters or self.worker or self.operation):
            return False
        if not Scope(user).is_system_admin:
            if self.worker or (self.parameters and may_hide_jobs()):
                return True
            started = Operation.primary.filter(pk=self.operation or 0, user_id=user.pk)
            if self.operation is not None and not started.exists():
                return True
        hidden = hidden_from(user)
        return any(asks_for_hidden(path, text, hidden) for path, text in self.parameters or ())


#: The blank fingerprint is that of errors without a text.
MAY_BE_BLANK: Final = ("error_fingerprint",)


def _term(name: str, terms: Mapping[str, Term] = GIVEN_TERMS) -> Term:
    """Return what the field of this name asks for."""
    if name not in terms:
        text = _("There is no such filter; use one of: %(names)s.")
        raise ValueError(say(text, code="unknown_filter", names=", ".join(GIVEN_TERMS)))
    return terms[name]


def read_terms(given: Mapping[str, Any], user: Any, terms: Mapping[str, Term] = GIVEN_TERMS) -> dict[str, Any]:
    """Return the values that an object from outside gives, with the keys of organizations that this user may know of.

    Raises InvalidFilter as :meth:`JobFilter.read` does.
    """

    def read_one(name: str, value: Any) -> Any:
        if name not in MAY_BE_BLANK and _is_blank(value):
            raise ValueError(say(_("Give a value: a blank one would name all jobs."), code="blank"))
        found = _term(name, terms).kind.read_given(value)
        return organization_keys(found, user) if name == ORGANIZATION and found is not None else found

    return _read_each(given, read_one)


def _read_each(given: Mapping[str, Any], read: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return what this reads of each name and value. Raises InvalidFilter with all that is wrong."""
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        try:
            values[name] = read(name, value)
        except InvalidFilter as error:
            errors |= error.errors
        except ValueError as error:
            errors[clean_text(name, 50)] = [said(error)]
    if errors:
        raise InvalidFilter(errors)
    return values


def _is_blank(value: Any) -> bool:
    """Return whether this is a blank text, or holds nothing but blank texts."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | dict) and all(isinstance(item, str) and not item.strip() for item in value)


def organization_keys(names: tuple[str, ...], user: Any) -> tuple[Any, ...]:
    """Return the keys of the organizations with these ids."""
    keys = Scope(user).organizations_named(set(names))
    unknown = [name for name in names if name not in keys]
    if unknown:
        raise InvalidFilter({ORGANIZATION: [unknown_organization(name) for name in unknown]})
    return tuple(keys[name] for name in names)


def as_object(lists: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the object that the values of an address mean, without blank ones, as :meth:`JobFilter.read` takes it."""
    given: dict[str, Any] = {}
    for name, values in lists.items():
        kept = [value for value in values if value.strip() or name in MAY_BE_BLANK]
        if kept:
            given[name] = kept if name in GIVEN_TERMS and GIVEN_TERMS[name].kind.is_repeated else kept[-1]
    return given


def words_of(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what an object from outside asks for, as names and values for people; what cannot be is told as it is."""
    told = []
    for name, value in given.items():
        tell, read = (GIVEN_TERMS[name].kind.tell, GIVEN_TERMS[name].kind.read) if name in GIVEN_TERMS else (None, str)
        texts = value if isinstance(value, list) else [value]
        try:
            texts = [str(tell(read(text))) for text in texts] if tell else list(map(str, texts))
        except ValueError:
            texts = [clean_text(text, MAX_SHOWN) for text in texts]
        told.append((name, in_words(texts)))
    return told


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
    if filters.organization is not None:
        given[ORGANIZATION] = [ids.get(pk, str(pk)) for pk in filters.organization]
    return given


def without_secrets(filters: JobFilter, names: Names) -> JobFilter:
    """Return the filter as it is told to somebody who may not read these keys: what it asks of them is masked."""
    if not names or not filters.parameters:
        return filters
    pairs = ((path, MASK if asks_for_hidden(path, text, names) else text) for path, text in filters.parameters)
    return dataclasses.replace(filters, parameters=tuple(pairs))
