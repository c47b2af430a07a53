"""What a submission says: its fields, its options, and the errors that name them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypedDict

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.json_storage import Encoded, NotStorable, clean_text, encoded, is_storable_text
from django_jobs.engine.observers import CARRIED
from django_jobs.exceptions import (
    InvalidSubmission,
    JobTypeDisabled,
    JobTypeNotFound,
    OrganizationInactive,
    OrganizationNotFound,
)
from django_jobs.models import Batch, Job
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import parse_job_id
from django_jobs.models.job_type import MAX_SECONDS
from django_jobs.statuses import Priority, RunAfter
from django_jobs.texts import say

# What is wrong with a submission, field by field, and which exception says it.


#: Of several causes, the first in this order is raised, so that it can be caught whatever else is wrong.
_CAUSES = (JobTypeNotFound, OrganizationNotFound, JobTypeDisabled, OrganizationInactive)


class Errors(dict[str, list[str]]):
    """Messages by field; ``cause`` is the class of the exception to raise."""

    # Of the class, until there is something to say: each of many submissions has errors of its own, nearly all empty.
    cause: type[InvalidSubmission] = InvalidSubmission

    def note(self, field: str, text: str, cause: type[InvalidSubmission]) -> None:
        """Set a field's message, for which there is a class of exceptions."""
        self[field] = [text]
        self.cause = cause_of([self.cause, cause])

    def add(self, others: Errors) -> None:
        """Take over others, each in place of this one's for its field."""
        if others:
            self.update({field: list(texts) for field, texts in others.items()})
            self.cause = cause_of([self.cause, others.cause])

    def refusal(self) -> InvalidSubmission:
        """Return the exception to raise."""
        return self.cause(dict(self))


def cause_of(causes: Iterable[type[InvalidSubmission]]) -> type[InvalidSubmission]:
    """Return the first of the special causes among these, else InvalidSubmission."""
    found = set(causes)
    return next((cause for cause in _CAUSES if cause in found), InvalidSubmission)


def shown(named: object) -> str:
    """Return the name by which a type or an organization was asked for, as a message may quote it."""
    return clean_text(getattr(named, "pk", named), 140)


# What few submissions say: each option judged by itself, and made storable.


#: Characters.
MAX_UNIQUE_KEY: Final = 200
MAX_RETRIES: Final = 100
#: What happens where the same work is there already: it is refused, given back, or changed to what is asked for now.
ON_DUPLICATE: Final = ("raise", "return", "replace")
#: Few submissions say one of these. None stands for what the job type says.
_OPTIONS: Final = ("unique_key", "deduplication_window", "timeout", "max_retries", "expires_at", "batch")
_ALL_OPTIONS: Final = frozenset({*_OPTIONS, "on_duplicate", "run_after"})


class BatchName(NamedTuple):
    """A batch that a submission names: its primary key, and the id that it must have."""

    pk: int
    batch_id: str


def check_moment(value: object, field: str, errors: Errors) -> dt.datetime | None:
    """Return the moment in UTC. A value that is no datetime, or has no time zone, is an error of the field."""
    if value is None:
        return None
    if not isinstance(value, dt.datetime) or timezone.is_naive(value):
        errors[field] = [say(_("Give a datetime with a time zone."), code="not_aware")]
        return None
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        errors[field] = [say("This moment is out of range.", code="out_of_range")]
        return None


def readable(value: object) -> str:
    """Return a value as an error may quote it."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (a number of 10,000 digits, an object with a repr of its own)
        return f"This {type(value).__name__}"


def _check_options(given: Mapping[str, Any], fields: Fields, errors: Errors) -> None:
    """Put the options that are given into the fields."""
    if given.keys().isdisjoint(_ALL_OPTIONS):
        return
    on_duplicate, run_after = given.get("on_duplicate", "raise"), given.get("run_after", RunAfter.COMPLETED)
    if (
        on_duplicate == "raise"
        and run_after == RunAfter.COMPLETED
        and all(given.get(name) is None for name in _OPTIONS)
    ):
        return
    fields.on_duplicate = check_word("on_duplicate", on_duplicate, ON_DUPLICATE, errors)
    fields.unique_key = _check_unique_key(given.get("unique_key"), errors)
    fields.deduplication_window = _check_number(given, "deduplication_window", 0, MAX_SECONDS, errors)
    fields.batch = _check_batch(given.get("batch"), errors)
    columns = {
        "timeout_seconds": _check_number(given, "timeout", 1, MAX_SECONDS, errors),
        "max_retries": _check_number(given, "max_retries", 0, MAX_RETRIES, errors),
        "expires_at": _check_expiry(given, errors),
        "run_after": check_word("run_after", run_after, RunAfter.values, errors),
        "batch_id": fields.batch and fields.batch.pk,
    }
    fields.columns.update({name: value for name, value in columns.items() if value is not None})


def _check_batch(value: object, errors: Errors) -> BatchName | None:
    if value is None:
        return None
    name = value.batch_id if isinstance(value, Batch) and value.pk is not None else value
    parsed = parse_batch_id(name)
    if parsed is None:
        value = clean_text(readable(name), 100)
        text = say("%(value)s is not a batch id such as BATCH-2026-00001.", code="not_a_batch_id", value=value)
        errors["batch"] = [text]
        return None
    return BatchName(parsed[0], str(name))


def check_word(field: str, value: object, words: Iterable[str], errors: Errors) -> str:
    """Return the word. One that is none of ``words`` is an error of the field."""
    if isinstance(value, str) and value in words:
        return str(value)
    *others, last = map(repr, map(str, words))
    errors[field] = [say(f"Use {', '.join(others)} or {last}.", code="invalid_choice")]
    return ""


def _check_unique_key(value: object, errors: Errors) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_UNIQUE_KEY or not is_storable_text(value):
        errors["unique_key"] = [
            say("Give a text of 1 to %(most)d characters.", code="wrong_length", most=MAX_UNIQUE_KEY)
        ]
        return None
    return value


def _check_number(given: Mapping[str, Any], field: str, least: int, most: int, errors: Errors) -> int | None:
    value = given.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        text = "Give a whole number from %(least)d to %(most)d."
        errors[field] = [say(text, code="out_of_range", least=least, most=most)]
        return None
    return value


def _check_expiry(given: Mapping[str, Any], errors: Errors) -> dt.datetime | None:
    """Refuse a job that can never start. The clock is this process's: the database's would cost a statement."""
    moment = check_moment(given.get("expires_at"), "expires_at", errors)
    if moment is None:
        return None
    run_at = given.get("run_at")
    if moment <= timezone.now():
        errors["expires_at"] = [say("Give a moment in the future.", code="past")]
    elif isinstance(run_at, dt.datetime) and not timezone.is_naive(run_at) and moment <= run_at:
        text = say("Give a moment after run_at: it would expire before it may run.", code="before_run_at")
        errors["expires_at"] = [text]
    return moment


# What a submission says beside its type and organization: each value judged by itself, and made storable.
#
# What depends on the type or the organization is judged in ``building``.


MAX_METADATA_BYTES: Final = 4096
#: What a job's metadata keep of its task: the backend, its number of priority, and its queue.
TASK_NOTES: Final = ("task_backend", "task_priority", "task_queue")
#: Keys of metadata that processes act on. A user's submission has none of them.
OF_CODE: Final = frozenset({CARRIED, *TASK_NOTES})
MAX_PARENTS: Final = 10_000


class SubmissionFields(TypedDict, total=False):
    """The keywords of :func:`django_jobs.submit_job` that a submission may have beside type, organization and user."""

    priority: str | int | None
    depends_on: str | Job | Iterable[str | Job] | None
    run_at: dt.datetime | None
    metadata: Mapping[str, Any] | None
    on_duplicate: str
    unique_key: str | None
    deduplication_window: int | None
    timeout: int | None
    max_retries: int | None
    expires_at: dt.datetime | None
    run_after: str
    batch: str | Batch | None


class ContextFields(SubmissionFields, total=False):
    """The same through a handler's context, where the owner of the running job is the user unless another is named."""

    user: Any


#: All that one item of many may say.
FIELDS: Final = ("job_type", "organization", "parameters", *SubmissionFields.__annotations__)
#: Of nearly all submissions: one for all, so that there is less for Python's garbage collector to walk through.
_NO_PARENTS: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class Fields:
    """The values that were found good.

    ``columns`` are those of the job's row; what the job type says stands in them only where something else is given.
    ``parents`` holds the job id and the primary key of each job to wait for, ``encoded`` the JSON text of the columns
    that hold JSON, as far as it is known, and ``canonical`` that of the parameters by which equal work is known.
    """

    columns: dict[str, Any]
    parents: Mapping[str, int]
    encoded: Mapping[str, str]
    canonical: str | None = None
    on_duplicate: str = "raise"
    unique_key: str | None = None
    deduplication_window: int | None = None
    batch: BatchName | None = None


def check_fields(given: Mapping[str, Any], errors: Errors, max_bytes: int | None = None) -> Fields:
    """Return the values of a submission; what is wrong with one goes into ``errors``, and a blank takes its place.

    ``max_bytes`` is the setting MAX_PARAMETERS_BYTES, where it was read already.
    """
    max_bytes = int(jobs_settings.MAX_PARAMETERS_BYTES) if max_bytes is None else max_bytes
    text, parameters, is_canonical = _check_object(given.get("parameters"), "parameters", max_bytes, errors)
    metadata_text, metadata, _ = _check_object(given.get("metadata"), "metadata", MAX_METADATA_BYTES, errors)
    run_at = check_moment(given.get("run_at"), "run_at", errors)
    fields = Fields(
        columns={"input_parameters": parameters, "metadata": metadata, "run_at": run_at},
        encoded={"input_parameters": text, "metadata": metadata_text},
        canonical=text if is_canonical else None,
        parents=_check_parents(given.get("depends_on"), errors),
    )
    if given.get("priority") is not None:
        fields.columns["priority"] = _check_priority(given["priority"], errors)
    if given.get("head_start"):  # in hours (``engine.store.values``); only a task's number gives one
        fields.columns["head_start"] = given["head_start"]
    _check_options(given, fields, errors)
    return fields


def of_user(fields: Fields) -> Fields:
    """Return these values as a user may submit them: without the keys of metadata that are for code alone."""
    metadata = fields.columns["metadata"]
    if OF_CODE.isdisjoint(metadata):
        return fields
    metadata = {name: value for name, value in metadata.items() if name not in OF_CODE}
    return _with_metadata(fields, metadata, json.dumps(metadata))


def carrying(fields: Fields, carried: Mapping[str, str]) -> Fields:
    """Return these values with what the job is to carry, which counts for no limit. What the caller gave stays."""
    metadata = fields.columns["metadata"]
    if CARRIED in metadata:
        return fields
    text = json.dumps({CARRIED: carried})
    if metadata:
        text = f"{fields.encoded['metadata'][:-1]}, {text[1:]}"
    return _with_metadata(fields, {**metadata, CARRIED: carried}, text)


def _with_metadata(fields: Fields, metadata: Mapping[str, Any], text: str) -> Fields:
    columns, encoded_texts = {**fields.columns, "metadata": metadata}, {**fields.encoded, "metadata": text}
    return replace(fields, columns=columns, encoded=encoded_texts)


def refuse_unknown(call: str, keywords: Iterable[str]) -> None:
    """Raise TypeError for keywords that a submission does not have."""
    unknown = sorted(set(keywords) - set(SubmissionFields.__annotations__))
    if unknown:
        raise TypeError(f"{call}() got an unexpected keyword argument {unknown[0]!r}.")


def _check_object(value: object, name: str, max_bytes: int, errors: Errors) -> Encoded:
    """Return JSON of a value."""
    if value is not None and not isinstance(value, Mapping):
        errors[name] = [say("Give an object (a dict), or nothing.", code="not_an_object")]
    elif value:
        try:
            return encoded(value if type(value) is dict else dict(value), name, max_bytes)
        except NotStorable as error:
            errors[name] = [error.args[0]]
    return "{}", {}, True


def _check_priority(priority: object, errors: Errors) -> int | None:
    try:
        return int(Priority.parse(priority))
    except ValueError:
        words = ", ".join(Priority.words())
        errors["priority"] = [say(_("Use one of %(choices)s."), code="invalid_choice", choices=words)]
        return None


def _check_parents(depends_on: object, errors: Errors) -> Mapping[str, int]:
    """Return the job id and the primary key of each job to wait for."""
    if depends_on is None or depends_on == "":
        return _NO_PARENTS
    is_many = isinstance(depends_on, Iterable) and not isinstance(depends_on, str | bytes | Mapping)
    items = list(depends_on) if is_many else [depends_on]  # type: ignore[call-overload]
    if len(items) > MAX_PARENTS:
        errors["depends_on"] = [say("At most %(most)d jobs can be waited for.", code="too_many", most=MAX_PARENTS)]
        return _NO_PARENTS
    names: dict[str, int] = {}
    for item in items:
        name = _name_of(item) if isinstance(item, Job) else item
        parsed = parse_job_id(name)
        if parsed is None:
            shown = clean_text(readable(name), 100)
            text = say("%(value)s is not a job id such as JOB-2026-00001.", code="not_a_job_id", value=shown)
            errors.setdefault("depends_on", []).append(text)
        else:
            names[str(name)] = parsed[0]
    return names


def _name_of(job: Job) -> str:
    is_saved = None not in {job.pk, job.created_at}
    return job.name if is_saved else "an unsaved job"
