"""Options that name jobs by what they have in common: the filters of REST, for each command that acts on many."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from typing import Any, Final

from django_jobs.engine.access import organizations_named
from django_jobs.engine.insight.filter import (
    CHOICE,
    JOB_IDS,
    KEYS,
    MAY_BE_BLANK,
    MOMENT,
    NAMES,
    NAMES_OUTSIDE,
    NUMBER,
    ORGANIZATION,
    PARAMETERS,
    PRIORITIES,
    STATUSES,
    TERMS,
    TEXT,
    ValueKind,
)
from django_jobs.engine.insight.search import similar_job_types, similar_organizations
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.refusals import did_you_mean, quoted
from django_jobs.models import JobType
from django_jobs.texts import Text, say


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ArgumentTypeError("use yes or no")
    return text.lower() == "yes"


ALL: Final = "all"
FILTERS: Final = tuple(name for name in NAMES_OUTSIDE if name != ALL)
_KINDS: Final = {term.name: term.kind for term in TERMS.values()} | {ORGANIZATION: KEYS}
#: Other names of options.
ALSO: Final = {"job_type": "--type", "error_fingerprint": "--fingerprint"}
#: What each option is for, by the name of its filter; the names are those of REST.
HELP: Final = {
    "status": "In this status",
    "job_type": "Of this job type",
    "organization": "Of this organization",
    "priority": "Of this priority",
    "owner": "Of this user",
    "job_id": "This job, such as JOB-2026-00001",
    "batch": "Of this batch",
    "created_after": "Submitted at this moment or later, such as 2026-01-31T08:00:00Z",
    "created_before": "Submitted before this moment",
    "error_fingerprint": "With this kind of error; blank: errors without a text",
    "fingerprint_start": "With a kind of error whose fingerprint begins so",
    "error": "Whose error contains this text",
    "has_error": "Which have an error, or have none",
    "pool": "Of the types of this pool",
    "schedule": "Which schedules of this name submitted, of all organizations",
    "worker": "Whose latest worker has this name, or one that begins so",
    "submitted_by": "Which the handler of the job with this number submitted",
    "operation": "Which the operation with this number acted on last",
    "parameters": "With this value of a parameter",
    "search": "This job, or whose error contains this text",
}
METAVARS: Final = {NUMBER: "N", CHOICE: "yes|no", PARAMETERS: "NAME:VALUE", MOMENT: "MOMENT"}
READERS: Final[dict[ValueKind, Callable[[str], Any]]] = {NUMBER: int, CHOICE: _yes_or_no}
#: The kinds of values of which an option may have several, by being repeated.
REPEATED: Final = (STATUSES, NAMES, KEYS, PRIORITIES, JOB_IDS, PARAMETERS)
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
    kind = _KINDS.get(name, TEXT)
    is_repeated = kind in REPEATED
    by_default = f", by default {default}" if kind == STATUSES and default else ""
    parser.add_argument(
        *filter(None, [_option(name), ALSO.get(name)]),
        dest=name,
        action="append" if is_repeated else "store",
        choices=statuses if kind == STATUSES else None,
        type=READERS.get(kind, str),
        metavar=METAVARS.get(kind, "TEXT"),
        help=f"{HELP.get(name, name)}{by_default}{'; may be repeated' if is_repeated else ''}.",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def given_filters(options: dict[str, Any], default: str | None = None) -> dict[str, Any]:
    """Return the filter as the options give it, empty where they give none.

    ``default`` is the status that is meant where another option is given, and no status. Raises InvalidOperation for a
    blank value, which would ask for nothing, and so name more jobs than was meant.
    """
    given = {name: options[name] for name in FILTERS if options[name] is not None}
    if blank := [name for name, value in given.items() if name not in MAY_BE_BLANK and _is_blank(value)]:
        raise InvalidOperation(
            {name: [say("Give a value: a blank one would name all jobs.", code="blank")] for name in blank}
        )
    if options[ALL]:
        given[ALL] = True
    if given and default:
        given.setdefault("status", [default])
    return given


def _is_blank(value: Any) -> bool:
    return any(isinstance(item, str) and not item.strip() for item in (value if isinstance(value, list) else [value]))


def fault_in_words(error: InvalidOperation, given: dict[str, Any], user: Any = None) -> tuple[Text, list[str]]:
    """Return what is wrong with an operation in the words of its options, and the names that may have been meant.

    A user is not told of names, which may be of what they must not know.
    """
    if error.codes == {"filters": ["names_all"]}:
        return say("Say which jobs, or --all. %(filters)s", code="names_nothing", filters=known_filters()), []
    named = {name: FIELDS.get(name) or (_option(name) if name in FILTERS else name) for name in error.errors}
    text = " ".join(f"{named[name]}: {' '.join(map(str, texts))}" for name, texts in error.errors.items())
    hints, meant = _names_meant(given) if user is None else ("", [])
    code = "unknown_job_type" if NO_TYPE in hints else next(iter(error.codes.values()))[0]
    return say("%(text)s", code=code, text=text + hints), meant


def known_filters() -> str:
    """Return the sentence that names all options."""
    return f"The filters are {', '.join(map(_option, FILTERS))}."


def _names_meant(given: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what to say of types and organizations that are not there, and the names that look like them."""
    types, organizations = (list(filter(is_storable_text, given.get(name, []))) for name in ("job_type", ORGANIZATION))
    there = set(JobType.primary.filter(pk__in=types).values_list("pk", flat=True)) if types else set()
    text, meant = "", []
    for name in types:
        if name not in there:
            near = similar_job_types(name)
            text += f" {NO_TYPE} {quoted(name)}.{did_you_mean(near)}"
            meant += near
    known = organizations_named(set(organizations), None, is_trusted=True) if organizations else {}
    for name in organizations:
        if name not in known:
            near = similar_organizations(name)
            text += did_you_mean(near)
            meant += near
    return text, meant
