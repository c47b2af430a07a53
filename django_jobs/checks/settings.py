"""What is wrong with single settings of DJANGO_JOBS."""

from __future__ import annotations

import re
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError

from django_jobs import pools
from django_jobs.checks.rows import Facts, Row, setting
from django_jobs.conf import DEFAULT_POOL, DEFAULTS, host_settings, jobs_settings
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.models import get_organization_model
from django_jobs.statuses import Priority

# Numbers and lists of names.


#: A thousand years: before that no database has days, nor has Python.
MAX_RETENTION_DAYS: Final = 365_000


def is_number(value: Any, *, endless: bool = False) -> bool:
    """Return whether a setting is a number from 0 on; one above all floats only where it may be endless."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and (endless or value <= sys.float_info.max)


def is_positive(value: Any) -> bool:
    """Return whether a setting is a finite number above 0."""
    return is_number(value) and value > 0


def _is_grace(value: Any) -> bool:
    return is_number(value, endless=True)


def is_list(value: Any) -> bool:
    """Return whether this is a list of names: with a forgotten comma it is one text, made of letters."""
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) for name in value)


_POSITIVE: Final = (
    "DEFAULT_TIMEOUT",
    "LEASE_SECONDS",
    "SCHEDULER_INTERVAL",
    "POLICY_SECONDS",
    "MAX_IN_FLIGHT_PER_ORGANIZATION",
    "MAX_PARAMETERS_BYTES",
    "MAX_RESULT_BYTES",
)
#: Those that may be infinite: nothing is counted with them.
_ENDLESS: Final = ("MAX_RETRY_AFTER", "CANCEL_GRACE_SECONDS", "SHUTDOWN_GRACE_SECONDS")
#: Numbers of which a row of their own says more.
_OTHERS: Final = ("RETENTION_DAYS", "METRICS_ORGANIZATIONS")
_NOT_NEGATIVE: Final = [
    name for name, default in DEFAULTS.items() if is_number(default) and name not in {*_POSITIVE, *_ENDLESS, *_OTHERS}
]


# Queues and pools.


def _unnamed_priorities() -> list[Facts]:
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping):
        return []
    named = {**dict.fromkeys(Priority.words()), **queues}
    missing = [str(label) for label, name in named.items() if not (isinstance(name, str) and name)]
    return [{"priorities": ", ".join(missing)}] if missing else []


def _unconfigured_queues() -> list[Facts]:
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or _unnamed_priorities():
        return []
    given = getattr(settings, "RQ_QUEUES", None)
    configured = given if isinstance(given, Mapping) else {}
    return [
        {"queue": name, "priority": label}
        for label, name in queues.items()
        if not isinstance(configured.get(name), Mapping)
    ]


def _wrong_pools() -> list[Facts]:
    value = jobs_settings.POOLS
    if not isinstance(value, Mapping):
        return []
    return [{"pool": name, "problem": problem} for name, pool in value.items() for problem in _wrong_pool(name, pool)]


def _wrong_pool(name: object, value: object) -> Iterator[str]:
    if not pools.is_name(name):
        yield f"which is no name of a pool: up to {pools.MAX_NAME} letters, digits, '_' and '-'"
    if not isinstance(value, Mapping):
        yield f"whose value is {value!r} and must be a dict"
        return
    if unknown := sorted(map(str, value.keys() - {"QUEUES"})):
        yield f"whose value has unknown keys: {', '.join(unknown)}"
    queues = value.get("QUEUES", {})
    if not isinstance(queues, Mapping):
        yield f"whose QUEUES are {queues!r} and must be a dict of queues by their priorities"
        return
    if queues and name == DEFAULT_POOL:
        yield "whose queues are those of DJANGO_JOBS['QUEUES']"
    if unknown := sorted(map(str, queues.keys() - set(Priority.words()))):
        yield f"whose QUEUES have unknown priorities: {', '.join(unknown)}. There are {', '.join(Priority.words())}"
    if bad := [queue for queue in queues.values() if not isinstance(queue, str) or not queue or set(queue) & set(" ,")]:
        yield f"whose QUEUES have {bad[0]!r}, which is no name of a queue"


def _shared_queues() -> list[Facts]:
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or any(label not in queues for label in Priority.words()):
        return []  # as another row says
    sharing: dict[str, set[str]] = defaultdict(set)
    for queue, name in pools.named().items():
        sharing[name].add(queue.pool)
    return [{"queue": name, "pools": ", ".join(map(repr, sorted(of)))} for name, of in sharing.items() if len(of) > 1]


# What the REST API and the websocket need.


SCOPES: Final = ("submit", "submit_items", "status", "list", "search", "cancel", "metrics")
_RATE: Final = re.compile(r"\d+/[smhd][a-z]*\Z")
_RATES_HINT: Final = f"Scopes are {', '.join(SCOPES)}; a rate is e.g. '100/min', or None for no limit."
#: What may stand in an address as it is, and in Django's routes: no space, and nothing with a meaning there.
_PREFIX: Final = re.compile(r"(?![./])[^\s<>?#%\\\x00-\x1f\x7f]+(?<![./])\Z")


def _wrong_rates() -> list[Facts]:
    rates = jobs_settings.THROTTLE_RATES
    return [
        {"scope": scope, "rate": rate}
        for scope, rate in (rates.items() if isinstance(rates, dict) else ())
        if scope not in SCOPES or not (rate is None or (isinstance(rate, str) and _RATE.match(rate)))
    ]


def _wrong_origins() -> list[Facts]:
    origins = jobs_settings.WEBSOCKET_ORIGINS
    # Iterating over a single text would give its letters.
    is_list = isinstance(origins, Iterable) and not isinstance(origins, str | bytes)
    wrong = [origin for origin in origins if not _is_origin(origin)] if is_list else [origins]
    return [{"origin": origin} for origin in wrong]


def _is_origin(origin: object) -> bool:
    if not isinstance(origin, str):
        return False
    try:
        parts = urlsplit(origin.replace("://*.", "://", 1))
        return bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.path)
    except ValueError:  # no port
        return False


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value == value.strip()


# The organization of work of no tenant.


#: Characters of an id that a job's row holds.
MAX_ID: Final = 140


def is_organization_id(value: Any) -> bool:
    """Return whether the field of organizations' ids can hold this: a number and a UUID are no texts."""
    if isinstance(value, str):
        may_be = bool(value) and is_storable_text(value) and len(value) <= MAX_ID
    else:
        may_be = isinstance(value, int | uuid.UUID) and not isinstance(value, bool)
    try:
        field: Any = get_organization_model()._meta.get_field(str(jobs_settings.ORGANIZATION_ID_FIELD))
        field.to_python(value)
    except FieldDoesNotExist:  # which another row tells
        return may_be
    except (ValidationError, TypeError, ValueError):
        return False
    return may_be


def _wrong_alerts() -> list[Facts]:
    from django_jobs.engine.alerts.rules import problems

    return [{"problem": text} for text in problems()]


_PRIORITIES_HINT: Final = "Map each of Critical, High, Normal and Low to the name of an RQ queue, or leave it out."
_POOLS_HINT: Final = "Write it as {'gpu': {}}, or name queues of its own: {'gpu': {'QUEUES': {'High': 'gpu-high', …}}}."

ROWS: Final = (
    Row(
        "W001",
        "DJANGO_JOBS has an unknown setting %(name)r.",
        f"Known are: {', '.join(sorted(DEFAULTS))}.",
        lambda: [{"name": name} for name in sorted(set(host_settings()) - set(DEFAULTS))],
    ),
    *(setting("E014", name, "a number above 0", is_positive) for name in _POSITIVE),
    *(setting("E014", name, "a number, 0 or more", is_number) for name in _NOT_NEGATIVE),
    *(setting("E014", name, "a number, 0 or more", _is_grace) for name in _ENDLESS),
    setting(
        "E014",
        "RETENTION_DAYS",
        f"a number of days from 0 to {MAX_RETENTION_DAYS}",
        lambda value: is_number(value) and value <= MAX_RETENTION_DAYS,
    ),
    setting(
        "E014",
        "MAX_BACKLOG_PER_ORGANIZATION",
        "a number, 0 or more, or None",
        lambda value: value is None or is_number(value),
    ),
    setting(
        "E045",
        "METRICS_ORGANIZATIONS",
        "how many organizations metrics tell apart, 0 or more",
        lambda value: isinstance(value, int) and is_number(value),
    ),
    Row(
        "E045",
        "DJANGO_JOBS['METRICS_TOKEN'] must be a text of ASCII characters without spaces around it.",
        "Leave it out for the default, ''.",
        lambda: not _is_token(jobs_settings.METRICS_TOKEN),
    ),
    setting("E005", "HANDLER_MODULES", "a list of module names", is_list, 'For one write ("billing.tasks",).'),
    setting("E021", "SENSITIVE_PARAMETERS", "a list of names", is_list, 'For one write ("password",).'),
    setting(
        "E018",
        "FOREIGN_RQ_JOBS",
        "'set_aside' or 'run'",
        lambda value: value in ("set_aside", "run"),
        "Leave it out: with 'run' whoever may write to Redis runs code in your workers.",
    ),
    setting(
        "E001",
        "QUEUES",
        "a dict of queues by their priorities",
        lambda value: isinstance(value, Mapping),
        _PRIORITIES_HINT,
    ),
    Row("E001", "DJANGO_JOBS['QUEUES'] names no queue for %(priorities)s.", _PRIORITIES_HINT, _unnamed_priorities),
    Row(
        "E002",
        "RQ_QUEUES[%(queue)r], the queue of priority %(priority)s, is missing or no dict.",
        "Let RQ_QUEUES have {'URL': 'redis://host:6379/0'} for it; all four queues use the same connection.",
        _unconfigured_queues,
    ),
    setting("E023", "POOLS", "a dict of pools by their names", lambda value: isinstance(value, Mapping), _POOLS_HINT),
    Row("E023", "DJANGO_JOBS['POOLS'] has %(pool)r, %(problem)s.", _POOLS_HINT, _wrong_pools),
    Row(
        "E024",
        "The pools %(pools)s share the queue %(queue)r.",
        "Give each pool queues of its own: a ticket tells nothing but where it lies.",
        _shared_queues,
    ),
    Row(
        "E025",
        "DJANGO_JOBS['ALERTS'] %(problem)s.",
        "Write it as {'dead_letters': {'count': 500}, 'breaker_open': None}; leave out what has its default.",
        _wrong_alerts,
    ),
    setting("E016", "THROTTLE_RATES", "a dict", lambda value: isinstance(value, dict), _RATES_HINT),
    Row(
        "E016",
        "DJANGO_JOBS['THROTTLE_RATES'] has %(scope)r: %(rate)r, which is no scope or no rate.",
        _RATES_HINT,
        _wrong_rates,
    ),
    Row(
        "E017",
        "DJANGO_JOBS['WEBSOCKET_ORIGINS'] holds %(origin)r, which is no list of origins or no origin.",
        "Write a list such as ['https://app.example.com', 'https://*.example.com'], without a path.",
        _wrong_origins,
    ),
    setting(
        "E030",
        "METHOD_PREFIX",
        "a text that can stand in an address",
        lambda value: isinstance(value, str) and bool(_PREFIX.match(value)),
        "Write e.g. 'shop.api.jobs': no spaces, none of < > ? # % \\, and no dot or slash around it.",
    ),
    setting(
        "E041",
        "SYSTEM_ORGANIZATION",
        "the id of an organization, or None",
        lambda value: value is None or is_organization_id(value),
        f"Give a text of up to {MAX_ID} characters, such as 'SYSTEM', that no tenant has as its id and that the field "
        "can hold which DJANGO_JOBS['ORGANIZATION_ID_FIELD'] names.",
    ),
)
