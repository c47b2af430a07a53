"""Options that name jobs by what they have in common: the filters of REST, for each command that acts on many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django_jobs.engine.insight.filter import NAMES_OUTSIDE, ORGANIZATION, PK, STATUSES, TERMS, TEXT, Term
from django_jobs.engine.insight.search import similar_job_types
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.refusals import did_you_mean, quoted
from django_jobs.models import JobType
from django_jobs.texts import Text, say

ALL: Final = "all"
FILTERS: Final = tuple(name for name in NAMES_OUTSIDE if name != ALL)
#: Other names of options.
ALSO: Final = {"job_type": "--type", "error_fingerprint": "--fingerprint"}
_TERMS: Final = {
    **TERMS,
    ORGANIZATION: TERMS[PK],
    "search": Term(TEXT, "", "", "This job, or whose error contains this text"),
}
FIELDS: Final = {"filters": "the filter", "rate": "--rate", "stop_above": "--stop-above"}
#: The beginning of what is said of a job type that is not there.
NO_TYPE: Final = "No job type"


def add_filters(parser: Any, statuses: Iterable[str], default: str | None = None) -> None:
    """Add the options, for jobs in these statuses; ``default`` is the one that is meant where none is given."""
    which = parser.add_argument_group("which jobs", "The names are those of the filters of REST.")
    for name in FILTERS:
        _add_filter(which, name, sorted(map(str, statuses)), default)
    which.add_argument("--all", action="store_true", help="All of them, where no other option names any.")


def _add_filter(parser: Any, name: str, statuses: list[str], default: str | None) -> None:
    kind = _TERMS[name].kind
    by_default = f", by default {default}" if kind == STATUSES and default else ""
    parser.add_argument(
        *filter(None, [_option(name), ALSO.get(name)]),
        dest=name,
        action="append" if kind.is_repeated else "store",
        choices=statuses if kind == STATUSES else None,
        metavar=kind.metavar,
        help=f"{_TERMS[name].help}{by_default}{'; may be repeated' if kind.is_repeated else ''}.",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def given_filters(options: dict[str, Any], default: str | None = None) -> dict[str, Any]:
    """Return the filter as the options give it, empty where they give none.

    ``default`` is the status that is meant where another option is given, and no status.
    """
    given = {name: options[name] for name in FILTERS if options[name] is not None}
    if options[ALL]:
        given[ALL] = True
    if given and default:
        given.setdefault("status", [default])
    return given


def fault_in_words(error: InvalidOperation, given: dict[str, Any], user: Any = None) -> tuple[Text, list[str]]:
    """Return what is wrong with an operation in the words of its options, and the job types that may have been meant.

    A user is not told of types, which may be of what they must not know.
    """
    if error.codes == {"filters": ["names_all"]}:
        return say("Say which jobs, or --all. %(filters)s", code="names_nothing", filters=known_filters()), []
    named = {name: FIELDS.get(name) or (_option(name) if name in FILTERS else name) for name in error.errors}
    text = " ".join(f"{named[name]}: {' '.join(map(str, texts))}" for name, texts in error.errors.items())
    hints, meant = _types_meant(given.get("job_type", [])) if user is None else ("", [])
    code = "unknown_job_type" if NO_TYPE in hints else next(iter(error.codes.values()))[0]
    return say("%(text)s", code=code, text=text + hints), meant


def known_filters() -> str:
    """Return the sentence that names all options."""
    return f"The filters are {', '.join(map(_option, FILTERS))}."


def _types_meant(names: list[str]) -> tuple[str, list[str]]:
    """Return what to say of job types that are not there, and the types that look like them."""
    types = [name for name in names if name.strip() and is_storable_text(name)]
    there = set(JobType.primary.filter(pk__in=types).values_list("pk", flat=True)) if types else set()
    text, meant = "", []
    for name in types:
        if name not in there:
            near = similar_job_types(name)
            text += f" {NO_TYPE} {quoted(name)}.{did_you_mean(near)}"
            meant += near
    return text, meant
