"""A kind of work: which handler runs it, with which defaults and limits."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.models import job_type_checks
from django_jobs.models.base import StoredModel, in_words, with_database_defaults
from django_jobs.models.fields import PriorityField, WorkedOffField
from django_jobs.statuses import Priority, SubmitBy
from django_jobs.texts import code_of

MAX_SECONDS = 30 * 24 * 3600
#: To check a rate limit, a submission reads at most so many entries of an index.
MAX_RATE = 1_000_000
MAX_DAYS = 36_500
MAX_RETRIES = 100
#: Characters of a pool's name, and of the name of a parameter.
MAX_POOL = 40
MAX_CONCURRENCY_KEY = 100
AT_LEAST_ONE = MinValueValidator(1)
#: For limits that may be left blank, and for one that may not.
NO_LIMIT_OF_ZERO = MinValueValidator(1, _("Leave it blank for no limit; to stop a type, pause it."))
NO_ZERO = MinValueValidator(1, _("Use 1 or more; to stop a type, pause it."))
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
    default_timeout = models.PositiveIntegerField(
        default=default_timeout,
        db_default=300,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_SECONDS)],
        help_text=_("Seconds that one attempt may take."),
    )
    default_priority = PriorityField(default=Priority.NORMAL)
    max_retries = models.PositiveSmallIntegerField(
        default=default_max_retries, db_default=5, validators=[MaxValueValidator(MAX_RETRIES)]
    )
    retry_delay = models.PositiveIntegerField(
        default=default_retry_delay,
        db_default=60,
        validators=[MaxValueValidator(MAX_SECONDS)],
        help_text=_("Seconds before the first retry; doubled for each further one."),
    )
    is_enabled = models.BooleanField(default=True, help_text=_("Off: submissions are refused and nothing starts."))
    is_paused = models.BooleanField(default=False, help_text=_("On: submissions wait and nothing starts."))
    requires_permission = models.CharField(max_length=200, blank=True, help_text=_("app_label.codename, or blank."))
    submit_by = models.CharField(
        max_length=7,
        choices=SubmitBy.choices,
        default=SubmitBy.MEMBERS,
        db_default=SubmitBy.MEMBERS,
        help_text=_("Who may submit it; to others it looks unknown."),
    )
    deduplication_window = models.PositiveIntegerField(
        default=default_deduplication_window,
        db_default=300,
        validators=[MaxValueValidator(MAX_SECONDS)],
        help_text=_("Seconds in which the same work is refused; 0 switches it off."),
    )
    rate_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_RATE)],
        help_text=_("Submissions an organization may make."),
    )
    rate_limit_window = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_SECONDS)],
        help_text=_("In that many seconds."),
    )
    pool = models.CharField(
        max_length=MAX_POOL,
        default=DEFAULT_POOL,
        db_default=DEFAULT_POOL,
        help_text=_("Which workers run it: a name of DJANGO_JOBS['POOLS']."),
    )
    max_running = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_AT_ONCE)],
        help_text=_("At most so many run at once, everywhere. Blank: no limit."),
    )
    max_running_per_organization = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_AT_ONCE)],
        help_text=_("At most so many of one organization run at once. Blank: no limit."),
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
        validators=[NO_ZERO, MaxValueValidator(MAX_AT_ONCE)],
        help_text=_("With a concurrency key: at most so many run at once for each of its values."),
    )
    max_starts = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_RATE)],
        help_text=_("At most so many start in a window; the others wait. Blank: no limit."),
    )
    max_starts_per_key = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[NO_LIMIT_OF_ZERO, MaxValueValidator(MAX_RATE)],
        help_text=_("With a concurrency key: at most so many start in a window for each of its values."),
    )
    max_starts_window = models.PositiveIntegerField(
        default=60,
        db_default=60,
        validators=[AT_LEAST_ONE, MaxValueValidator(MAX_SECONDS)],
        help_text=_("Seconds of the window."),
    )
    breaker_failures = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        validators=[MaxValueValidator(10_000)],
        help_text=_("After so many attempts in a row with one transient error its jobs are held. 0: never."),
    )
    breaker_pause = models.PositiveIntegerField(
        default=60,
        db_default=60,
        validators=[AT_LEAST_ONE, MaxValueValidator(MAX_SECONDS)],
        help_text=_("Seconds between two tries while they are held."),
    )
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
        problems = job_type_checks.problems(self)
        if problems:
            raise ValidationError({name: ValidationError(text, code=code_of(text)) for name, text in problems.items()})
