"""What a submission says beside its type and organization: each value judged by itself, and made storable.

What depends on the type or the organization is judged in ``checks``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypedDict

from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.json_storage import Encoded, NotStorable, clean_text, encoded
from django_jobs.engine.observers import CARRIED
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.options import BatchName, check_moment, check_options, readable
from django_jobs.models import Batch, Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import Priority, RunAfter
from django_jobs.texts import say

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
    """The values that were found good, as they are stored. None stands for what the job type says.

    ``head_start`` is in hours (``engine.store.head_starts``); only a task's number gives one.
    ``parents`` holds the job id and the primary key of each job to wait for, ``encoded`` the JSON text of the columns
    that hold JSON, as far as it is known, and ``canonical`` that of the parameters by which equal work is known.
    """

    parameters: Any
    metadata: Any
    priority: int | None
    run_at: dt.datetime | None
    parents: Mapping[str, int]
    encoded: Mapping[str, str]
    canonical: str | None = None
    on_duplicate: str = "raise"
    unique_key: str | None = None
    deduplication_window: int | None = None
    timeout: int | None = None
    max_retries: int | None = None
    expires_at: dt.datetime | None = None
    run_after: str = RunAfter.COMPLETED
    head_start: int = 0
    batch: BatchName | None = None


def check_fields(given: Mapping[str, Any], errors: Errors, max_bytes: int | None = None) -> Fields:
    """Return the values of a submission; what is wrong with one goes into ``errors``, and a blank takes its place.

    ``max_bytes`` is the setting MAX_PARAMETERS_BYTES, where it was read already.
    """
    max_bytes = max_parameters_bytes() if max_bytes is None else max_bytes
    text, parameters, is_canonical = _check_object(given.get("parameters"), "parameters", max_bytes, errors)
    metadata_text, metadata, _ = _check_object(given.get("metadata"), "metadata", MAX_METADATA_BYTES, errors)
    return Fields(
        parameters=parameters,
        metadata=metadata,
        encoded={"input_parameters": text, "metadata": metadata_text},
        canonical=text if is_canonical else None,
        priority=_check_priority(given.get("priority"), errors),
        head_start=given.get("head_start", 0),
        run_at=check_moment(given.get("run_at"), "run_at", errors),
        parents=_check_parents(given.get("depends_on"), errors),
        **check_options(given, errors),
    )


def of_user(fields: Fields) -> Fields:
    """Return these values as a user may submit them: without the keys of metadata that are for code alone."""
    if OF_CODE.isdisjoint(fields.metadata):
        return fields
    metadata = {name: value for name, value in fields.metadata.items() if name not in OF_CODE}
    return replace(fields, metadata=metadata, encoded={**fields.encoded, "metadata": json.dumps(metadata)})


def carrying(fields: Fields, carried: Mapping[str, str]) -> Fields:
    """Return these values with what the job is to carry, which counts for no limit. What the caller gave stays."""
    if CARRIED in fields.metadata:
        return fields
    text = json.dumps({CARRIED: carried})
    if fields.metadata:
        text = f"{fields.encoded['metadata'][:-1]}, {text[1:]}"
    metadata = {**fields.metadata, CARRIED: carried}
    return replace(fields, metadata=metadata, encoded={**fields.encoded, "metadata": text})


def max_parameters_bytes() -> int:
    """Return the setting."""
    return int(jobs_settings.MAX_PARAMETERS_BYTES)


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
    if priority is None:
        return None
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
