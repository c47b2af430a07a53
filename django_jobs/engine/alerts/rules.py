"""The rules of alarms: what the setting ALERTS says of them, and how each looks for what is wrong.

A new alarm is one more section here, with its finder, one more entry of RULES at the end, and a reason of its name.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from django.conf import settings
from django.db.models import F, Q, Sum

from django_jobs import pools
from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.failures import last_traceback
from django_jobs.engine.insight.inspection import (
    MAX_WAITING,
    OpenBreaker,
    first_faulty,
    jobs,
    open_breakers,
    stalled_duties,
    waiting,
    waiting_by_organization,
)
from django_jobs.engine.insight.problems import (
    Finding,
    LiveWorker,
    by_load,
    count_waiting_freely,
    plain_workers,
    read_slots,
    types_by_pool,
    why_unserved,
)
from django_jobs.engine.insight.rollups import BATCH, activities, rollups_behind
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import start_of, waits_since
from django_jobs.engine.transitions import exception_in
from django_jobs.models import Alert, JobType, Schedule, Span
from django_jobs.statuses import WITH_ERRORS, BreakerState, Priority, Status

TYPE_FAILING: Final = "type_failing"
QUEUE_WAITING: Final = "queue_waiting"
NO_WORKER: Final = "no_worker"
NO_SCHEDULER: Final = "no_scheduler"
DEAD_LETTERS: Final = "dead_letters"
SCHEDULE_CANNOT_FIRE: Final = "schedule_cannot_fire"
BREAKER_OPEN: Final = "breaker_open"
DUTY_STALLED: Final = "duty_stalled"
#: The key beside the rules that says whether ADMINS get mails, and where the host is.
MAIL: Final = "mail"
BASE_URL: Final = "base_url"

DAY_SECONDS: Final = 86_400
MILLION: Final = 1_000_000

Facts: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a rule goes by: its default, and the least and the most that make sense."""

    default: float
    least: float
    most: float
    is_whole: bool = True

    def is_met_by(self, value: object) -> bool:
        """Return whether this is a number that makes sense."""
        kinds = int if self.is_whole else int | float
        return not isinstance(value, bool) and isinstance(value, kinds) and self.least <= value <= self.most

    @property
    def words(self) -> str:
        """Return which numbers make sense, for people."""
        return f"a {'whole ' if self.is_whole else ''}number from {self.least:,} to {self.most:,}"


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """A rule: its thresholds, and what it finds. The reason of its name says what is so, and what to do.

    ``find`` returns what is wrong, or None where that cannot be told yet; without ``find``, whoever reads the alarms
    finds it.
    """

    find: Callable[[RuleContext], list[Finding] | None] | None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)


def thresholds_of(rule: str) -> dict[str, Any] | None:
    """Return the thresholds of a rule as the host set them; None where it is switched off.

    What system checks refuse has its default.
    """
    given = _given()
    value = given.get(rule, {})
    if rule in given and (value is None or value is False):
        return None
    chosen = value if isinstance(value, Mapping) else {}
    return {
        name: chosen[name] if name in chosen and known.is_met_by(chosen[name]) else known.default
        for name, known in RULES[rule].thresholds.items()
    }


def is_on(rule: str) -> bool:
    """Return whether the host has not switched the rule off."""
    return thresholds_of(rule) is not None


def problems() -> Iterator[str]:
    """Yield what is wrong with the setting, each as the end of a sentence about ``DJANGO_JOBS['ALERTS']``."""
    given = jobs_settings.ALERTS
    if not isinstance(given, Mapping):
        yield f"must be a dict of rules by their names, not {given!r}"
        return
    for rule, value in given.items():
        if rule == MAIL:
            yield from _problems_of_mail(value)
        elif rule not in RULES:
            yield f"has an unknown rule {rule!r}. There are {', '.join(RULES)}, and {MAIL!r}"
        elif value is not None and value is not False:
            yield from _problems_of(rule, value)


def _problems_of(rule: str, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"has {value!r} for {rule!r}, which must be a dict of thresholds, or None to switch the rule off"
        return
    known = RULES[rule].thresholds
    for name, number in value.items():
        if name not in known:
            yield f"has an unknown threshold {name!r} of {rule!r}. There are {', '.join(known) or 'none'}"
        elif not known[name].is_met_by(number):
            yield f"has {number!r} for {name!r} of {rule!r}, which must be {known[name].words}"


def _problems_of_mail(value: object) -> Iterator[str]:
    if value is None or isinstance(value, bool):
        return
    if not isinstance(value, Mapping) or not value or set(value) - {BASE_URL}:
        yield f"has {value!r} for {MAIL!r}, which must be True, False, or {{{BASE_URL!r}: 'https://example.com'}}"
    elif not str(value.get(BASE_URL, "https://")).startswith(("http://", "https://")):
        yield f"has {value[BASE_URL]!r} for {BASE_URL!r} of {MAIL!r}, which must begin with https:// or http://"


def is_mail_on() -> bool:
    """Return whether alarms are told by mail: to ADMINS where there are some, unless the host switched it off."""
    return bool(settings.ADMINS) and bool(_given().get(MAIL, True))


def mail_base_url() -> str:
    """Return the address of the host's site, as the host says it; blank where it does not."""
    chosen = _given().get(MAIL)
    return str(chosen.get(BASE_URL, "")) if isinstance(chosen, Mapping) else ""


def _given() -> Mapping[str, Any]:
    given = jobs_settings.ALERTS
    return given if isinstance(given, Mapping) else {}


# What a rule is given to look with.


#: How many subjects of one rule may be wrong at once. There is no use in more sentences.
MAX_FINDINGS: Final = 50
#: Characters of an error.
MAX_ERROR: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What one rule looks with: its thresholds, and the facts of its open alarms by subject.

    ``moment`` is when the rules are evaluated, by the database's clock. ``found`` has the subjects that the rules
    before it found in this round.
    """

    moment: dt.datetime
    found: Mapping[str, Collection[str]]
    thresholds: Mapping[str, Any]
    open: Mapping[str, Facts]

    def ago(self, seconds: float) -> dt.datetime:
        """Return the moment so many seconds before."""
        return self.moment - dt.timedelta(seconds=seconds)


def since_of(facts: Mapping[str, Any]) -> dt.datetime | None:
    """Return since when something is wrong, as facts have it; None where they do not say."""
    text = facts.get("since")
    return dt.datetime.fromisoformat(text) if isinstance(text, str) else None


def one_line(text: str) -> str:
    """Return an error in one line, as long as a sentence can have it."""
    shown = " ".join(text.split())
    return f"{shown[:MAX_ERROR]}…" if len(shown) > MAX_ERROR else shown


# Sums of the attempts of job types, from the activity rows: how many ended lately, and how many of these failed.


#: How many types are looked at, those with the most failures first.
MAX_TYPES: Final = 100
#: How many rows of types are read at once, the newest.
MAX_ROWS: Final = 10_000
#: The quantile of the normal distribution for a certainty of 95 %.
_Z: Final = 1.96
DAY: Final = dt.timedelta(days=1)


class Attempts(NamedTuple):
    """How many attempts ended, how many of them failed, and when their minute or hour began."""

    starts_at: dt.datetime
    ended: int
    failed: int


def sum_of(minutes: Iterable[Attempts]) -> tuple[int, int]:
    """Return how many attempts ended in all these minutes together, and how many of them failed."""
    rows = list(minutes)
    return sum(row.ended for row in rows), sum(row.failed for row in rows)


def newest_of(minutes: Iterable[Attempts], least: int) -> list[Attempts]:
    """Return the first of these minutes that have so many attempts together; all of them where they have fewer."""
    chosen: list[Attempts] = []
    count = 0
    for row in minutes:
        chosen.append(row)
        count += row.ended
        if count >= least:
            break
    return chosen


def is_beyond_chance(ended: int, failed: int, share: float) -> bool:
    """Return whether more attempts failed than chance explains where this share fails: Wilson's score test.

    For a share of a half these are 5 of 5, 7 of 8, 15 of 20, 60 of 100.
    """
    return failed - share * ended >= _Z * math.sqrt(ended * share * (1 - share))


def types_with_failures(span: Span, since: dt.datetime, least: int = 1) -> set[str]:
    """Return the types of which so many attempts have failed since, at most MAX_TYPES of them."""
    sums = _rows(span, since).values("job_type").annotate(failures=Sum("failed")).filter(failures__gte=least)
    rows = sums.order_by(F("failures").desc(), "job_type")[:MAX_TYPES]
    return {row["job_type"] for row in rows}


def read_attempts(span: Span, since: Mapping[str, dt.datetime]) -> dict[str, list[Attempts]]:
    """Return when attempts of each of these types ended since its moment, the newest first."""
    attempts: dict[str, list[Attempts]] = defaultdict(list)
    if since:
        names = ("job_type", "starts_at", "completed", "failed")
        rows = _rows(span, min(since.values())).filter(_since(since)).exclude(completed=0, failed=0)
        for job_type, starts_at, completed, failed in rows.order_by("-starts_at").values_list(*names)[:MAX_ROWS]:
            attempts[job_type].append(Attempts(starts_at, completed + failed, failed))
    return attempts


def count_attempts(span: Span, since: Mapping[str, dt.datetime]) -> dict[str, tuple[int, int]]:
    """Return of each of these types how many attempts ended since its moment, and how many of them failed."""
    if not since:
        return {}
    sums = _rows(span, min(since.values())).filter(_since(since)).values("job_type")
    rows = sums.annotate(done=Sum("completed"), failures=Sum("failed"))
    return {row["job_type"]: (row["done"] + row["failures"], row["failures"]) for row in rows}


def deaths_since(since: dt.datetime, after: Mapping[str, dt.datetime] | None = None) -> dict[str, int]:
    """Return how many jobs of each type became Dead Letters since, the most first, at most MAX_TYPES types.

    Of a type that ``after`` names, only those after that moment.
    """
    rows = _rows(Span.MINUTE, since)
    for name, moment in (after or {}).items():
        rows = rows.exclude(job_type=name, starts_at__lt=moment)
    sums = rows.values("job_type").annotate(deaths=Sum("died")).filter(deaths__gt=0)
    most = sums.order_by(F("deaths").desc(), "job_type")[:MAX_TYPES]
    return {row["job_type"]: row["deaths"] for row in most}


def _rows(span: Span, since: dt.datetime) -> Any:
    return activities(None, span, since).order_by()


def _since(moments: Mapping[str, dt.datetime]) -> Q:
    types: dict[dt.datetime, list[str]] = defaultdict(list)
    for name, moment in moments.items():
        types[moment].append(name)
    wanted = (Q(job_type__in=names, starts_at__gte=moment) for moment, names in types.items())
    return functools.reduce(operator.or_, wanted)


# The newest jobs of job types whose last attempts failed: the commonest error, and whose jobs fail.
#
# Of each error the newest are read, up to a page, however many there are. So a number is the least that there is.


PAGE: Final = 1_000
MAX_PAGES: Final = 5
#: How many organizations of one alarm are kept, those with the most jobs first.
MAX_ORGANIZATIONS: Final = 1_000
_READ: Final = ("pk", "error_fingerprint", "organization_id", "started_at")


class FailingJob(NamedTuple):
    """A job whose last attempt failed. ``started_at`` is when that attempt began."""

    pk: int
    fingerprint: str
    organization: Any
    started_at: dt.datetime | None


def failing_jobs(job_types: Iterable[str], since: dt.datetime) -> tuple[list[FailingJob], bool]:
    """Return failing jobs of these types whose last attempts began since, and whether there may be more.

    A statement reads a page of one type by the index of failures, error by error, the newest of each first. Where a
    page is full, the next one begins with the next error.
    """
    found: list[FailingJob] = []
    is_cut = False
    for name in job_types:
        rows = jobs().filter(job_type=name, status__in=sorted(WITH_ERRORS)).order_by("error_fingerprint", "-pk")
        last = ""
        for _page in range(MAX_PAGES):
            page = [FailingJob(*row) for row in rows.filter(error_fingerprint__gt=last).values_list(*_READ)[:PAGE]]
            found += [row for row in page if row.started_at and row.started_at >= since]
            if len(page) < PAGE:
                break
            is_cut, last = True, page[-1].fingerprint
    return found, is_cut


def counts_by_organization(organizations: Iterable[Any]) -> dict[str, int]:
    """Return how often each organization's key comes, as facts have it: by the key's text, the most frequent first.

    A Counter of keys is taken as it is.
    """
    return {str(pk): count for pk, count in Counter(organizations).most_common(MAX_ORGANIZATIONS)}


def cleared_moments(rule: str) -> dict[str, dt.datetime]:
    """Return when alarms of this rule were over for the last time, by subject, as far as they are kept."""
    over = Alert.primary.filter(rule=rule, cleared_at__isnull=False).order_by("cleared_at")
    return {subject: cleared for subject, cleared in over.values_list("subject", "cleared_at") if cleared}


# A breaker that holds the jobs of its type. While it recovers, its alarm stays, and no new one is raised.


#: Of so many breakers it is counted what waits.
MAX_COUNTED: Final = 10
#: Seconds: whose attempts began so lately are concerned.
LATELY: Final = 24 * 3_600


def find_breaker_open(look: RuleContext) -> list[Finding]:
    """Return the types whose breakers hold their jobs."""
    held = [
        item
        for item in open_breakers(most=MAX_FINDINGS, counts_waiting=False)
        if item.state == BreakerState.OPEN or item.job_type in look.open
    ]
    return [_finding(look, item, is_counted=number < MAX_COUNTED) for number, item in enumerate(held)]


def _finding(look: RuleContext, item: OpenBreaker, *, is_counted: bool) -> Finding:
    """Return what a breaker holds. Concerned is whose jobs failed, and where it is counted, whose jobs wait for it.

    Where it holds one organization, it is that one alone.
    """
    waits = waiting_by_organization(item) if is_counted else Counter[Any]()
    has_more = waits.total() > MAX_WAITING
    rows, is_cut = failing_jobs([item.job_type], look.ago(LATELY))
    failed = Counter(row.organization for row in rows)
    if item.organization_pk is not None:
        failed = Counter({pk: count for pk, count in failed.items() if pk == item.organization_pk})
    facts = {
        "organization": item.organization,
        "since": item.since.isoformat(),
        "state": str(item.state),
        "exception": one_line(item.error_message),
        "failed": item.failures,
        "next_try_at": item.next_try_at.isoformat() if item.next_try_at else None,
        "organizations": counts_by_organization(failed | waits),
        "has_more": is_cut or has_more,
    }
    if is_counted:
        facts |= {"waiting": min(waits.total(), MAX_WAITING), "has_more_waiting": has_more}
    return Finding(subject=item.job_type, facts=facts)


# Many new Dead Letters in a window, of types that are not told as failing, and none that was told so before.


#: An alarm that is open goes on until less than this part of what raises it is left.
CALM: Final = 0.5
MAX_NAMED: Final = 5


def find_dead_letters(look: RuleContext) -> list[Finding]:
    """Return a finding, without a subject, where so many jobs died in the window."""
    since = look.ago(look.thresholds["seconds"])
    told = look.found.get(TYPE_FAILING, ())
    counted = deaths_since(since)
    if counted and (over := cleared_moments(TYPE_FAILING)):
        counted = deaths_since(since, {name: over[name] for name in counted.keys() & over})
    deaths = {name: count for name, count in counted.items() if name not in told}
    total, least = sum(deaths.values()), look.thresholds["count"]
    if total < (least * CALM if "" in look.open else least):
        return []
    rows, is_cut = failing_jobs(deaths, since)
    facts = {
        "count": total,
        "seconds": look.thresholds["seconds"],
        "types": dict(list(deaths.items())[:MAX_NAMED]),
        "more_types": max(0, len(deaths) - MAX_NAMED),
        "organizations": counts_by_organization(row.organization for row in rows),
        "has_more": is_cut,
    }
    return [Finding(facts=facts)]


# A duty of a scheduler that makes no round.


def find_duty_stalled(look: RuleContext) -> list[Finding]:
    """Return the duties that are stalled, by name; of several schedulers' the one that is for longest."""
    found = {item.duty: item for item in sorted(stalled_duties(look.moment), key=lambda item: item.since)[::-1]}
    return [
        Finding(subject=duty, facts={"scheduler": item.scheduler, "since": item.since.isoformat()})
        for duty, item in sorted(found.items())[:MAX_FINDINGS]
    ]


# A pool whose jobs wait while no live worker serves it. Quiet workers serve nothing.


def find_no_worker(look: RuleContext) -> list[Finding]:
    """Return the pools without a worker of which jobs have been due for so long."""
    workers, since = live_workers(), look.ago(look.thresholds["seconds"])
    by_pool = types_by_pool(JobType.primary.filter(is_enabled=True, is_paused=False))
    return [
        _no_worker_finding(pool, types, code)
        for pool, types in by_pool.items()
        if (code := why_unserved(pool, workers)) and _do_any_wait(types, since) and not _has_plain_workers(pool)
    ][:MAX_FINDINGS]


def _do_any_wait(types: list[str], since: dt.datetime) -> bool:
    # A place in a lane is no later than the moment, and in the index.
    in_lanes = waiting().filter(is_delayed=False, job_type_id__in=types, ready_at__lt=since)
    return (
        in_lanes.alias(since=waits_since()).filter(since__lt=since).exists()
        or jobs().filter(status=Status.QUEUED, job_type_id__in=types, queued_at__lt=since).exists()
    )


def _has_plain_workers(pool: str) -> bool:
    """Return whether RQ's own workers serve a pool; they announce themselves to nobody but the broker."""
    return pool in pools.names() and any(plain_workers(pools.queue_names(pool)).values())


def _no_worker_finding(pool: str, types: list[str], code: str) -> Finding:
    (count,) = store().count_waiting([types], MAX_WAITING + 1)
    queued = jobs().filter(status=Status.QUEUED, job_type_id__in=types)[: MAX_WAITING + 1].count()
    facts = {
        "waiting": min(MAX_WAITING, count + queued),
        "has_more_waiting": count + queued > MAX_WAITING,
        "code": code,
    }
    return Finding(subject=pool, facts=facts)


# A queue whose due jobs wait too long for no reason, or behind workers that are busy all the time.
#
# What a limit, a rate, a pause, a breaker or an organization's share holds does not count. Neither do types that go on:
# jobs count if none of their type has started for ``seconds``; where no worker is free, for ``busy_seconds``.


def find_queue_waiting(look: RuleContext) -> list[Finding] | None:
    """Return the queues whose jobs wait; None while it is not counted which types go on."""
    if rollups_behind() > BATCH:
        return None
    slots = read_slots(live_workers())
    unserved = look.found.get(NO_WORKER, ())
    free, busy = by_load(slots, {queue for queue in pools.all_queues() if queue.pool not in unserved})
    found: list[Finding] = []
    for queues, seconds in ((free, look.thresholds["seconds"]), (busy, look.thresholds["busy_seconds"])):
        types: dict[Queue, Counter[str]] = defaultdict(Counter)
        since, needs_room = look.ago(seconds), queues is free
        waits = count_waiting_freely(since, queues, needs_room=needs_room, are_idle=True) if queues else {}
        for place, count in waits.items():
            types[place.queue][place.job_type] = count
        found += [_queue_finding(queue, types[queue], slots, seconds) for queue in types]
    return found


def _queue_finding(queue: Queue, types: Counter[str], slots: list[LiveWorker], seconds: int) -> Finding:
    priority, mine = Priority(queue.priority).word, [item for item in slots if queue in item.queues]
    facts = {
        "pool": queue.pool,
        "priority": priority,
        "waiting": types.total(),
        "seconds": seconds,
        "types": dict(types.most_common(MAX_NAMED)),
        "free": sum(item.free for item in mine),
        "slots": sum(item.total for item in mine),
    }
    return Finding(subject=f"{queue.pool}/{priority}", facts=facts)


# A schedule that is on, and could not submit its jobs the last time.


def find_schedule_cannot_fire(_look: RuleContext) -> list[Finding]:
    """Return the first schedules that cannot fire, by name."""
    return [Finding(subject=str(row), facts=_schedule_facts(row)) for row in first_faulty(MAX_FINDINGS)]


def _schedule_facts(row: Schedule) -> dict[str, Any]:
    organization = "" if row.organization_id is None else str(row.organization_id)
    return {
        "schedule": row.pk,
        "job_type": row.job_type_id,
        "error": one_line(row.fault),
        "error_of": organization,
        "since": row.faulty_since.isoformat() if row.faulty_since else None,
        "organizations": {organization: 0} if organization else {},
    }


# A job type most of whose recent attempts failed.
#
# Recent attempts are those of the last ``seconds``. If these are fewer than ``attempts``, the newest minutes of the
# last day that have so many count. None counts that came before an alarm of the type was over. The alarm is raised if
# at least ``share`` of them failed, more of them than chance explains: of few attempts nearly all, of many half. It is
# over once fewer of the newest attempts fail.


#: Beyond a higher share no failures need to be certain: no share of 1 can be proven.
CERTAIN: Final = 0.5


def find_type_failing(look: RuleContext) -> list[Finding]:
    """Return the types most of whose recent attempts failed."""
    names = _types_to_judge(look)
    failing = _failing_of(names, look, cleared_moments(TYPE_FAILING) if names else {})
    # Those that are told already come first: they stay, however many there are.
    chosen = sorted(failing, key=lambda name: (name not in look.open, name))[:MAX_FINDINGS]
    kinds = JobType.primary.in_bulk(chosen)
    since = {name: since_of(look.open.get(name, {})) or failing[name] for name in chosen if name in kinds}
    counts = _counts_of(look, since)
    return [
        Finding(
            subject=name,
            facts={
                "since": began.isoformat(),
                "attempts": counts[name][0],
                "failed": counts[name][1],
                "is_paused": kinds[name].is_paused,
                "is_disabled": not kinds[name].is_enabled,
                **_about_jobs(look, kinds[name], began),
            },
        )
        for name, began in since.items()
    ]


def _types_to_judge(look: RuleContext) -> set[str]:
    """Return the types with failures lately, or with enough of them within a day, and those that are told."""
    least, day = look.thresholds["attempts"], start_of(Span.HOUR, look.moment - DAY)
    names = types_with_failures(Span.MINUTE, look.ago(look.thresholds["seconds"]))
    return names | types_with_failures(Span.HOUR, day, (least + 1) // 2) | set(look.open)


def _failing_of(names: set[str], look: RuleContext, over: Mapping[str, dt.datetime]) -> dict[str, dt.datetime]:
    """Return those of these types that fail, each with the first of its recent minutes in which an attempt failed.

    ``over`` is when their alarms were over for the last time.
    """
    least, window, day = look.thresholds["attempts"], look.ago(look.thresholds["seconds"]), look.moment - DAY
    recent = read_attempts(Span.MINUTE, {name: max(window, over.get(name, window)) for name in names})
    rare = [name for name in names if sum_of(recent.get(name, []))[0] < least]
    # The hours say how far back the minutes are read: those of a day, of many types, would be more than MAX_ROWS.
    hours = read_attempts(Span.HOUR, dict.fromkeys(rare, start_of(Span.HOUR, day)))
    back = {name: newest_of(rows, least)[-1].starts_at for name, rows in hours.items()}
    minutes = read_attempts(Span.MINUTE, {name: max(begin, day, over.get(name, day)) for name, begin in back.items()})
    recent |= {name: newest_of(minutes.get(name, []), least) for name in rare}
    failing = (name for name in names if _is_failing(look, name, recent[name]))
    return {name: min(row.starts_at for row in recent[name] if row.failed) for name in failing}


def _is_failing(look: RuleContext, name: str, recent: list[Attempts]) -> bool:
    """Return whether these attempts, and the newest of them, are failing. An open alarm needs no new proof."""
    share, least = look.thresholds["share"], look.thresholds["attempts"]
    (ended, failed), newest = sum_of(recent), sum_of(newest_of(recent, least))
    if ended < least or newest[1] / newest[0] < share:
        return False
    return name in look.open or (failed / ended >= share and is_beyond_chance(ended, failed, min(share, CERTAIN)))


def _counts_of(look: RuleContext, since: Mapping[str, dt.datetime]) -> dict[str, tuple[int, int]]:
    """Return the attempts of each type since a minute: by the minutes, which are kept for two days, else by hours."""
    day = look.moment - DAY
    lately = {name: began for name, began in since.items() if began >= day}
    before = {name: start_of(Span.HOUR, began) for name, began in since.items() if began < day}
    counts = count_attempts(Span.MINUTE, lately) | count_attempts(Span.HOUR, before)
    return {name: counts.get(name, (0, 0)) for name in since}


def _about_jobs(look: RuleContext, kind: JobType, since: dt.datetime) -> dict[str, Any]:
    """Return the commonest error of the jobs whose attempts failed since, and whose jobs they are."""
    rows, is_cut = failing_jobs([kind.pk], since - dt.timedelta(seconds=kind.default_timeout))
    return {
        "organizations": counts_by_organization(row.organization for row in rows),
        "has_more": is_cut,
        **_error(rows, look.open.get(kind.pk, {})),
    }


def _error(rows: list[FailingJob], known: Mapping[str, Any]) -> dict[str, str]:
    """Return the commonest error: as tenants read it, as system admins do, and the organization whose job it is of.

    One that is known is not read again, while jobs of that organization still fail with it.
    """
    names = ("fingerprint", "error", "exception", "error_of")
    commonest = Counter(row.fingerprint for row in rows).most_common(1)
    alike = [row for row in rows if row.fingerprint == commonest[0][0]]
    is_known = alike and alike[0].fingerprint == known.get("fingerprint")
    if not alike or (is_known and known.get("error_of") in {str(row.organization) for row in alike}):
        return {name: str(known.get(name, "")) for name in names}
    newest = max(alike, key=lambda row: row.pk)
    job = jobs().filter(pk=newest.pk).only("error_message").first()
    if job is None:
        return dict.fromkeys(names, "")
    exception = exception_in(last_traceback(job)) or job.error_message
    values = (newest.fingerprint, one_line(job.error_message), one_line(exception), str(newest.organization))
    return dict(zip(names, values, strict=True))


#: Every rule, in the order in which they are evaluated and told: what stops everything, what stops something, what may
#: wait until the morning. Stalled duties come before the other rules, which such a duty may hold up. Dead Letters are
#: behind the failing types, whose deaths they leave out, and waiting queues behind the pools without workers.
RULES: Final[Mapping[str, AlertRule]] = {
    NO_SCHEDULER: AlertRule(find=None),
    DUTY_STALLED: AlertRule(find=find_duty_stalled),
    NO_WORKER: AlertRule(find=find_no_worker, thresholds={"seconds": Threshold(60, 10, 7 * DAY_SECONDS)}),
    BREAKER_OPEN: AlertRule(find=find_breaker_open),
    TYPE_FAILING: AlertRule(
        find=find_type_failing,
        thresholds={
            "share": Threshold(0.5, 0.01, 1, is_whole=False),
            "attempts": Threshold(5, 1, MILLION),
            "seconds": Threshold(900, 60, DAY_SECONDS),
        },
    ),
    QUEUE_WAITING: AlertRule(
        find=find_queue_waiting,
        thresholds={
            "seconds": Threshold(300, 10, 7 * DAY_SECONDS),
            "busy_seconds": Threshold(3_600, 60, DAY_SECONDS),
        },
    ),
    DEAD_LETTERS: AlertRule(
        find=find_dead_letters,
        thresholds={"count": Threshold(100, 1, MILLION), "seconds": Threshold(3_600, 60, DAY_SECONDS)},
    ),
    SCHEDULE_CANNOT_FIRE: AlertRule(find=find_schedule_cannot_fire),
}
BY_URGENCY: Final = tuple(RULES)
