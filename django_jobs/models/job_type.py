"""A kind of work: which handler runs it, with which defaults and limits, and whether its breaker holds it."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.models.base import (
    PriorityField,
    StoredModel,
    WordField,
    WorkedOffField,
    hooks,
    in_words,
    organization_key,
    with_database_defaults,
)
from django_jobs.statuses import BreakerState, Priority, SubmitBy
from django_jobs.texts import code_of, say

# What the values of a job type must be beside each other, and beside the settings and the code.
#
# What the row holds already is accepted, so that a type can be paused while its handler cannot be loaded, or while its
# pool is gone from the settings.


NEEDS_KEY: Final = say(
    gettext_noop("It needs a concurrency key: each of whose values would it count for?"), code="needs_key"
)


def job_type_problems(kind: Any) -> dict[str, str]:
    """Return what is wrong with a type that is to be saved, by field; nothing for what its row holds already."""
    key = kind.concurrency_key
    problems = {
        ("handler_method",): hooks.path_problem(kind.handler_method) if kind.handler_method else None,
        ("pool",): pool_problem(kind.pool),
        ("concurrency_key",): key_problem(key, hooks.parameter_names(kind.type_name)) if key else None,
        ("max_starts_per_key", "concurrency_key"): (
            NEEDS_KEY if kind.max_starts_per_key is not None and not key else None
        ),
    }
    return {fields[0]: text for fields, text in problems.items() if text and not _is_stored(kind, fields)}


def pool_problem(pool: str) -> str | None:
    """Return that there is no such pool, and which there are; None where there is."""
    names = pools.names()
    if pool in names:
        return None
    text = gettext_noop("The pool %(pool)s is not in DJANGO_JOBS['POOLS']. There are: %(pools)s.")
    return say(text, code="unknown_pool", pool=repr(pool), pools=", ".join(names))


def key_problem(key: str, names: frozenset[str] | None) -> str | None:
    """Return that no parameter has the name of a concurrency key; ``names`` are those of all, None for any."""
    if names is None or key in names:
        return None
    text = gettext_noop("The parameters of this type have no %(key)s; there are: %(names)s.")
    return say(text, code="unknown_parameter", key=repr(key), names=", ".join(sorted(names)) or "-")


def _is_stored(kind: Any, fields: tuple[str, ...]) -> bool:
    stored = type(kind)._default_manager.using(kind._state.db).filter(pk=kind.pk)
    return bool(stored.filter(**{name: getattr(kind, name) for name in fields}).exists())


# A kind of work: which handler runs it, with which defaults and limits.


MAX_SECONDS = 30 * 24 * 3600
#: To check a rate limit, a submission reads at most so many entries of an index.
MAX_RATE = 1_000_000
MAX_DAYS = 36_500
MAX_RETRIES = 100
#: Characters of a pool's name, and of the name of a parameter.
MAX_POOL = 40
MAX_CONCURRENCY_KEY = 100
AT_LEAST_ONE = MinValueValidator(1)
NO_LIMIT_OF_ZERO = MinValueValidator(1, _("Use 1 or more; to stop a type, pause it."))
#: So many jobs never run at once. Larger numbers would not fit into every database's column.
MAX_AT_ONCE = 1_000_000
A_PARAMETERS_NAME = RegexValidator(
    r"^[^\s.\x00-\x1f]+\Z", _("Name one parameter of the top level, without dots and blanks, such as customer_id.")
)


def default_timeout() -> int:
    """Return DEFAULT_TIMEOUT, in seconds."""
    return int(jobs_settings.DEFAULT_TIMEOUT)


def default_max_retries() -> int:
    """Return MAX_RETRIES."""
    return int(jobs_settings.MAX_RETRIES)


def default_retry_delay() -> int:
    """Return RETRY_DELAY, in seconds."""
    return int(jobs_settings.RETRY_DELAY)


def default_deduplication_window() -> int:
    """Return DEDUPLICATION_WINDOW, in seconds."""
    return int(jobs_settings.DEDUPLICATION_WINDOW)


def _limit(most: int, help_text: Any) -> models.PositiveIntegerField[int | None, int | None]:
    """Return a field for a limit from 1 to ``most``, which may be left blank."""
    validators = [NO_LIMIT_OF_ZERO, MaxValueValidator(most)]
    return models.PositiveIntegerField(null=True, blank=True, validators=validators, help_text=help_text)


def _seconds(
    help_text: Any, default: Any = 60, db_default: int = 60, *, least: Any = AT_LEAST_ONE
) -> models.PositiveIntegerField[int, int]:
    """Return a field for seconds up to MAX_SECONDS."""
    validators = [*([least] if least else ()), MaxValueValidator(MAX_SECONDS)]
    return models.PositiveIntegerField(
        default=default, db_default=db_default, validators=validators, help_text=help_text
    )


@in_words(
    _("job type"),
    _("job types"),
    type_name=_("type name"),
    display_name=_("display name"),
    description=_("description"),
    handler_method=_("handler method"),
    default_timeout=_("default timeout"),
    default_priority=_("default priority"),
    max_retries=_("max retries"),
    retry_delay=_("retry delay"),
    is_enabled=_("is enabled"),
    is_paused=_("is paused"),
    requires_permission=_("requires permission"),
    submit_by=_("submit by"),
    deduplication_window=_("deduplication window"),
    rate_limit=_("rate limit"),
    rate_limit_window=_("rate limit window"),
    pool=_("pool"),
    max_running=_("max running"),
    max_running_per_organization=_("max running per organization"),
    concurrency_key=_("concurrency key"),
    max_running_per_key=_("max running per key"),
    max_starts=_("max starts"),
    max_starts_per_key=_("max starts per key"),
    max_starts_window=_("max starts window"),
    breaker_failures=_("breaker failures"),
    breaker_pause=_("breaker pause"),
    retention_days=_("retention days"),
)
@with_database_defaults
class JobType(StoredModel):
    """A kind of work. ``type_name`` is its id, so a type that is renamed is another type."""

    type_name = models.CharField(
        primary_key=True,
        max_length=100,
        validators=[
            RegexValidator(r"^[A-Za-z][A-Za-z0-9_.-]*\Z", _("Use letters, digits, '_', '-' and '.', a letter first."))
        ],
    )
    display_name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    handler_method = models.CharField(
        max_length=255, help_text=_("Dotted path of a function, e.g. shop.jobs.make_report.")
    )
    default_timeout = _seconds(_("Seconds that one attempt may take."), default_timeout, 300)
    default_priority = PriorityField(default=Priority.NORMAL)
    max_retries = models.PositiveSmallIntegerField(
        default=default_max_retries, db_default=5, validators=[MaxValueValidator(MAX_RETRIES)]
    )
    retry_delay = _seconds(
        _("Seconds before the first retry; doubled for each further one."), default_retry_delay, 60, least=None
    )
    is_enabled = models.BooleanField(default=True, help_text=_("Off: submissions are refused and nothing starts."))
    is_paused = models.BooleanField(default=False, help_text=_("On: submissions wait and nothing starts."))
    requires_permission = models.CharField(max_length=200, blank=True, help_text=_("app_label.codename, or blank."))
    submit_by = WordField(
        max_length=7,
        choices=SubmitBy.choices,
        default=SubmitBy.MEMBERS,
        db_default=SubmitBy.MEMBERS,
        help_text=_("Who may submit it; to others it looks unknown."),
    )
    deduplication_window = _seconds(
        _("Seconds in which the same work is refused; 0 switches it off."),
        default_deduplication_window,
        300,
        least=None,
    )
    rate_limit = _limit(MAX_RATE, _("Submissions an organization may make."))
    rate_limit_window = _seconds(_("In that many seconds."))
    pool = models.CharField(
        max_length=MAX_POOL,
        default=DEFAULT_POOL,
        db_default=DEFAULT_POOL,
        help_text=_("Which workers run it: a name of DJANGO_JOBS['POOLS']."),
    )
    max_running = _limit(MAX_AT_ONCE, _("At most so many run at once, everywhere. Blank: no limit."))
    max_running_per_organization = _limit(
        MAX_AT_ONCE, _("At most so many of one organization run at once. Blank: no limit.")
    )
    concurrency_key = models.CharField(
        max_length=MAX_CONCURRENCY_KEY,
        blank=True,
        default="",
        db_default="",
        validators=[A_PARAMETERS_NAME],
        help_text=_("A parameter's name. For each of its values, jobs of an organization count on their own."),
    )
    max_running_per_key = models.PositiveIntegerField(
        default=1,
        db_default=1,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_AT_ONCE)],
        help_text=_("With a concurrency key: at most so many run at once for each of its values."),
    )
    max_starts = _limit(MAX_RATE, _("At most so many start in a window; the others wait. Blank: no limit."))
    max_starts_per_key = _limit(
        MAX_RATE, _("With a concurrency key: at most so many start in a window for each of its values.")
    )
    max_starts_window = _seconds(_("Seconds of the window."))
    breaker_failures = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        validators=[MaxValueValidator(10_000)],
        help_text=_("After so many attempts in a row with one transient error its jobs are held. 0: never."),
    )
    breaker_pause = _seconds(_("Seconds between two tries while they are held."))
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[AT_LEAST_ONE, MaxValueValidator(MAX_DAYS)],
        help_text=_("Days after which its ended jobs are deleted. Blank: as the setting RETENTION_DAYS says."),
    )
    #: The concurrency key by which the lanes of all its unfinished jobs were chosen; None while that is not known
    #: (``engine.control.lane_keys``).
    keyed_by = WorkedOffField(of="concurrency_key", max_length=MAX_CONCURRENCY_KEY)
    #: What the code's declaration said last, field by field; None for a type that no code declares.
    declared = models.JSONField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(default_timeout__gte=1), name="djobs_type_timeout_positive"),
        ]

    def __str__(self) -> str:
        return self.display_name or self.type_name

    def clean(self) -> None:
        """Refuse what does not fit: a handler that may not run or cannot be found, a pool that the settings lack, …

        What is stored already is accepted. ``create()`` and fixtures do not call this: the code may come later.
        """
        super().clean()
        problems = job_type_problems(self)
        if problems:
            raise ValidationError({name: ValidationError(text, code=code_of(text)) for name, text in problems.items()})


# Whether jobs of a type are held, since its last attempts all failed with one error.


@with_database_defaults
class Breaker(StoredModel):
    """The breaker of a job type: what it counted, and what it does now. Without a row it is closed and counted nothing.

    A process that stores how an attempt ended counts; the dispatcher, alone under its lock, lets jobs go.
    """

    job_type = models.OneToOneField(
        JobType, on_delete=models.CASCADE, primary_key=True, related_name="breaker", db_constraint=False
    )
    state = WordField(max_length=10, choices=BreakerState.choices, default=BreakerState.CLOSED)
    #: Whose attempts all failures that it counted are; None where several have them, or none were counted. It holds the
    #: jobs of this organization alone, or of all.
    organization = organization_key(null=True, blank=True)
    #: Whose attempts all failures are that it counted since it recovers; None where several have them. Where they open
    #: it again, it holds the jobs of this organization alone, though it may have held all before.
    relapse_organization = organization_key(null=True, blank=True)
    #: While it holds one organization: how many attempts of others failed in a row with the error of this fingerprint.
    others_failures = models.PositiveIntegerField(default=0)
    others_fingerprint = models.CharField(max_length=64, blank=True)
    #: How many attempts in a row failed with the error of this fingerprint, and its text.
    failures = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    #: While it is open: when the next job may try.
    next_try_at = models.DateTimeField(null=True, blank=True)
    #: While it is open: when the first job was let go to try. Before, nothing is a try: a pass of the dispatcher that
    #: began earlier may queue many others yet.
    tries_since = models.DateTimeField(null=True, blank=True)
    #: While it recovers: since when.
    recovering_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"breaker of {self.job_type_id}"
