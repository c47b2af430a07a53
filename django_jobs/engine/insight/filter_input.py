"""A filter as it comes from outside: by the names of the list's parameters, with the ids of organizations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.engine.insight.filter_values import read_job_id, read_name, read_text, several
from django_jobs.engine.insight.job_filter import BY_NAME, ORGANIZATION, PK, SEARCH, JobFilter, read_terms
from django_jobs.engine.insight.parameter_values import asks_for_hidden
from django_jobs.engine.job_types.masking import MASK, Names
from django_jobs.engine.lookup import organizations_named, unknown_organization
from django_jobs.exceptions import InvalidFilter
from django_jobs.texts import said, say

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
    own = {name: value for name, value in given.items() if name not in (ORGANIZATION, SEARCH)}
    found, errors = read_terms(own, BY_NAME.keys() - {PK})
    errors |= _read_organizations(given.get(ORGANIZATION), user, found)
    text = None
    try:
        text = read_text(given.get(SEARCH) or "")
    except ValueError as error:
        errors[SEARCH] = [said(error)]
    if errors:
        raise InvalidFilter(errors)
    return JobFilter(**found).both(searched(text or ""))


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
    found = filters.as_json()
    if PK in found:
        found[ORGANIZATION] = [ids.get(pk, str(pk)) for pk in filters.organizations or ()]
        del found[PK]
    return found


def without_secrets(filters: JobFilter, names: Names) -> JobFilter:
    """Return the filter as it is told to somebody who may not read these keys: what it asks of them is masked."""
    if not names or not filters.parameters:
        return filters
    pairs = ((path, MASK if asks_for_hidden(path, text, names) else text) for path, text in filters.parameters)
    return dataclasses.replace(filters, parameters=tuple(pairs))
