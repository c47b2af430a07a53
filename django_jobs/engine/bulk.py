"""Many submissions at once: judged each by itself, written all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_jobs.engine import insertion, limits, requests
from django_jobs.engine.duplicates import hide_unseen
from django_jobs.engine.payloads import clean_text
from django_jobs.engine.submission_rights import Doorkeeper
from django_jobs.engine.targets import Targets, TargetsChanged, read_all
from django_jobs.exceptions import DuplicateJob, InvalidSubmission

FIELDS = ("job_type", "organization", "parameters", "priority", "depends_on", "run_at", "metadata")


@dataclass(slots=True)
class _Draft:
    """One submission on its way to a request, with what is wrong with it so far."""

    fields: Mapping[str, Any]
    errors: requests.Errors = field(default_factory=dict)
    values: requests.Values | None = None
    found: Targets | None = None


def submit(items: Sequence[Any], user: Any) -> list[requests.Request]:
    """Judge and write them. Raises what ``submit_job`` raises, with the index of the culprit."""
    found = _examine(items, user)
    limits.check([request.targets for request in found])
    try:
        insertion.insert_all(found)
    except TargetsChanged as error:
        raise InvalidSubmission({"non_field_errors": ["Others submit the same at this moment; try again."]}) from error
    except DuplicateJob as duplicate:
        hide_unseen(duplicate, user)
        raise
    return found


def _examine(items: Sequence[Any], user: Any) -> list[requests.Request]:
    drafts = [_draft(item) for item in items]
    objects = [draft for draft in drafts if draft.values is not None]
    targets = [(draft.fields.get("job_type"), draft.fields.get("organization")) for draft in objects]
    read = read_all(targets, [draft.errors for draft in objects], Doorkeeper(user))
    for draft, found in zip(objects, read, strict=True):
        draft.found = found
    _check_against_targets(drafts, user)
    _raise_errors(drafts)
    built = [requests.build(draft.found, draft.values, user) for draft in drafts if draft.found and draft.values]
    _refuse_twins(drafts, built)
    return built


def _draft(item: object) -> _Draft:
    if not isinstance(item, Mapping):
        return _Draft({}, {"non_field_errors": ["Give an object (a dict) with the submission's fields."]})
    draft = _Draft(item)
    for name in item:
        if name not in FIELDS:
            shown = clean_text(name, 100)
            draft.errors[shown] = [f"There is no such field; known are {', '.join(FIELDS)}."]
    given, metadata, priority = item.get("parameters"), item.get("metadata"), item.get("priority")
    run_at, depends_on = item.get("run_at"), item.get("depends_on")
    draft.values = requests.check_values(given, metadata, priority, run_at, depends_on, draft.errors)
    return draft


def _key(found: Targets) -> tuple[Any, Any]:
    return found.kind.pk, found.organization.pk


def _check_against_targets(drafts: Sequence[_Draft], user: Any) -> None:
    states: dict[tuple[Any, Any], requests.Errors] = {}
    known = requests.read_parents((name for draft in drafts if draft.values for name in draft.values.parents), user)
    for draft in drafts:
        if draft.found is None or draft.values is None:
            continue
        key = _key(draft.found)
        if key not in states:
            states[key] = requests.check_open(draft.found)
        draft.errors.update(states[key])
        requests.check_parents(draft.values, draft.found, known, draft.errors)
        requests.check_parameters(draft.values, draft.found, draft.errors)


def _refuse_twins(drafts: Sequence[_Draft], built: Sequence[requests.Request]) -> None:
    """The same work twice in one list is a mistake of the list's, whatever else is there."""
    first: dict[str, int] = {}
    for index, request in enumerate(built):
        if request.window and (earlier := first.setdefault(request.job.job_hash, index)) != index:
            drafts[index].errors["non_field_errors"] = [f"The same work stands at position {earlier} of this list."]
    _raise_errors(drafts)


def _raise_errors(drafts: Sequence[_Draft]) -> None:
    bad = {index: draft.errors for index, draft in enumerate(drafts) if draft.errors}
    if bad:
        flat = {f"{index}.{name}": texts for index, errors in bad.items() for name, texts in errors.items()}
        raise InvalidSubmission(flat, bad)
