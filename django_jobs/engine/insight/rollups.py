"""What happened, added up: the activity rows, kept from the Execution Log, and what a process counts of it."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db.models import Max, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.deadlines import add_up
from django_jobs.engine.organizations import recent_ids
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import COUNTERS, HISTOGRAMS, SUMS, Horizon, Tally, TallyKey, start_of
from django_jobs.models import EngineLease, ExecutionLog, OrganizationActivity, Span, TypeActivity

CHUNK: Final = 2_000
_MEASURES: Final = (*COUNTERS, *SUMS, *HISTOGRAMS)


def add_activity(minutes: Mapping[TallyKey, Tally]) -> None:
    """Add sums by minute, type and organization to what is stored, in all spans."""
    ours: dict[TallyKey, Tally] = defaultdict(Tally)
    everybodys: dict[TallyKey, Tally] = defaultdict(Tally)
    for place, tally in minutes.items():
        for span in Span:
            wider = place._replace(span=int(span), starts_at=start_of(span, place.starts_at))
            ours[wider].add(tally)
            ours[wider].organization_name = tally.organization_name
            everybodys[wider._replace(organization=None)].add(tally)
    _store(TypeActivity, everybodys, "span", "starts_at", "job_type")
    _store(OrganizationActivity, ours, "organization", "span", "starts_at", "job_type")


def activities(organizations: Collection[Any] | None, span: Span, since: dt.datetime) -> QuerySet[Any]:
    """The rows of one span that start at ``since`` or later, in no order: of these organizations' primary keys, or
    (None) of all together.
    """
    if organizations is None:
        rows: QuerySet[Any] = TypeActivity.primary.all()
    else:
        rows = OrganizationActivity.primary.filter(organization_id__in=organizations)
    return rows.filter(span=int(span), starts_at__gte=since)


def types_started_since(since: dt.datetime, job_types: Collection[str]) -> set[str]:
    """Return those of these types of which an attempt has begun since, as far as that is counted."""
    rows = activities(None, Span.MINUTE, since).filter(job_type__in=job_types, started__gt=0)
    return set(rows.order_by().values_list("job_type", flat=True)) if job_types else set()


def _store(model: type[TypeActivity | OrganizationActivity], tallies: dict[TallyKey, Tally], *unique: str) -> None:
    """Add these sums to the rows of a model, of which one is there for each value of the ``unique`` columns."""
    rows: Any = model.primary.all()
    of_organizations = model is OrganizationActivity
    near = rows.filter(
        span__in=sorted({place.span for place in tallies}),
        starts_at__in=sorted({place.starts_at for place in tallies}),
        job_type__in=sorted({place.job_type for place in tallies}),
    )
    organizations = sorted({place.organization for place in tallies}, key=str)
    for start in range(0, len(organizations), CHUNK):
        chunk = organizations[start : start + CHUNK]
        for row in near.filter(organization_id__in=chunk) if of_organizations else near:
            organization = row.organization_id if of_organizations else None
            tally = tallies.get(TallyKey(row.span, row.starts_at, row.job_type, organization))
            if tally is not None:
                tally.add(row)
    fresh = [_row(model, place, tally) for place, tally in tallies.items()]
    # MariaDB finds out by itself which of its keys a row met.
    names_key = database.connection().features.supports_update_conflicts_with_target
    rows.bulk_create(
        fresh,
        batch_size=CHUNK,
        update_conflicts=True,
        update_fields=_MEASURES,
        unique_fields=unique if names_key else None,
    )


def _row(model: type[TypeActivity | OrganizationActivity], place: TallyKey, tally: Tally) -> Any:
    values = {name: getattr(tally, name) for name in _MEASURES}
    if place.organization is not None:
        values |= {"organization_id": place.organization, "organization_name": tally.organization_name}
    return model(span=place.span, starts_at=place.starts_at, job_type=place.job_type, **values)


# Keeping the activity rows: from the Execution Log, each row of it exactly once, in bounded batches.
#
# The log is read in the order of its ids up to a point below which none can become visible any more. Ids are handed out
# before their transactions commit, so that point is found in two steps: note the newest id and the first transaction id
# not yet given out (the *mark*); once every transaction below that one has ended, whatever was written up to the noted
# id is there. Where the store knows that exactly, a transaction that stays open holds the sums back.
#
# Where the reading stands is kept in a row whose lock makes two schedulers take turns, and written with the sums.


LEASE: Final = "rollups"
#: So many ids of the log are read at once.
BATCH: Final = 50_000
KEPT: Final = {Span.MINUTE: dt.timedelta(days=2), Span.HOUR: dt.timedelta(days=60), Span.DAY: dt.timedelta(days=1_100)}
FORGOTTEN_AT_ONCE: Final = 2_000


def catch_up() -> int:
    """Count what is new in the log, for ROLLUP_TICK_SECONDS at most; by how many ids it came forward."""
    return add_up(timing.ROLLUP_TICK_SECONDS, iter(roll_up, 0))


def roll_up() -> int:
    """Count the next BATCH ids of the log; by how many it came forward. 0 while another process does this."""
    newest = _newest_id()
    lease = EngineLease.primary.filter(pk=LEASE).first()
    if newest == 0 or (lease is not None and _Progress(**lease.state).done >= newest):
        return 0
    if lease is None:
        EngineLease.primary.bulk_create([EngineLease(name=LEASE)], ignore_conflicts=True)
    # Read outside the transaction: inside, it would itself be one that is open.
    horizon = store().log_horizon()
    return database.in_transaction(lambda: _one_batch(newest, horizon))


def rollups_behind() -> int:
    """Return how many ids of the log are still to be read, from the first that is there: ids may begin anywhere."""
    lease = EngineLease.primary.filter(pk=LEASE).first()
    first = _first_after(0 if lease is None else _Progress(**lease.state).done)
    return 0 if first is None else max(0, _newest_id() - first + 1)


def _first_after(done: int) -> int | None:
    """Return the first id after that one which is there."""
    return ExecutionLog.primary.filter(pk__gt=done).order_by("pk").values_list("pk", flat=True).first()


def _newest_id() -> int:
    return ExecutionLog.primary.aggregate(newest=Max("pk"))["newest"] or 0


@dataclasses.dataclass(slots=True)
class _Progress:
    """Log ids: counted up to ``done``; complete up to ``settled``; complete up to ``marked`` once all transactions
    before ``marked_at`` have ended.
    """

    done: int = 0
    settled: int = 0
    marked: int = 0
    marked_at: float | None = None

    def look(self, newest: int, horizon: Horizon) -> None:
        """Learn from the newest id, and from a horizon that was read after it."""
        # A mark from the future was made by another server, whose data were moved to this one.
        if self.marked_at is None or self.marked_at > horizon.next_id:
            self.marked, self.marked_at = newest, horizon.next_id
        if self.marked_at <= horizon.oldest_open:
            self.settled = max(self.settled, self.marked)
            self.marked_at = None


def _one_batch(newest: int, horizon: Horizon) -> int:
    rows = EngineLease.primary.filter(pk=LEASE)
    lease = database.locked(rows, skip=True).first()
    if lease is None:
        return 0
    progress = _Progress(**lease.state)
    progress.look(newest, horizon)
    before = progress.done
    last = _end_of_batch(progress)
    if last > before:
        tallies = store().tally(before, last)
        add_activity(tallies)
        database.on_commit(lambda: count_history(tallies))
        progress.done = last
    state = dataclasses.asdict(progress)
    if state != lease.state:
        rows.update(state=state)
    return progress.done - before


def _end_of_batch(progress: _Progress) -> int:
    """The last id to be read now; the batch begins with the first that is there."""
    first = _first_after(progress.done)
    return progress.settled if first is None else min(progress.settled, first + BATCH - 1)


def forget_old() -> int:
    """Delete up to some thousand rows that are older than their kind is kept; how many went."""
    now = database.now()
    count = 0
    for model in (TypeActivity, OrganizationActivity):
        for span, age in KEPT.items():
            rows = database.rows(model).filter(span=span, starts_at__lt=now - age)
            count += _delete_some(rows)
    return count


def forget_organization(organization_pk: Any) -> None:
    """Delete all that is kept of an organization; it stays in the sums of all."""
    rows = OrganizationActivity.primary.filter(organization_id=organization_pk)
    rows._raw_delete(rows.db)  # noqa: SLF001


def _delete_some(rows: QuerySet[Any]) -> int:
    pks = list(rows.order_by("starts_at").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    if not pks:
        return 0
    return int(rows.model._default_manager.using(rows.db).filter(pk__in=pks).delete()[0])


# What this process counts of jobs, where somebody asked for it: numbers that only grow, by job type.
#
# What happened to jobs is told by their history, which one scheduler sums up. The ends of children alone are in no row.


#: Job types that are counted by name. Those that come later are counted together, as OTHER.
MAX_TYPES: Final = 200
#: Pairs of a job type and an organization. Of later ones the organization is OTHER.
MAX_PAIRS: Final = 2_000
OTHER: Final = "other"


class ProcessCounts:
    """What this process was told of the history, and how its children ended.

    With ``organizations``, so many of them are counted by name.
    """

    def __init__(self, *, organizations: int = 0) -> None:
        self.organizations = organizations
        #: How many children ended of themselves, as after their last job, and how many did not.
        self.exits = {"clean": 0, "unexpected": 0}
        self._lock = threading.Lock()
        self._types: set[str] = set()
        self._organizations: set[str] = set()
        self._tallies: dict[tuple[str, str], Tally] = {}

    def add(self, job_type: str, organization: str, tally: Tally) -> None:
        """Add what happened to the jobs of a type and an organization."""
        with self._lock:
            self._tallies.setdefault(self._place(job_type, organization), Tally()).add_all(tally)

    def read(self) -> dict[tuple[str, str], Tally]:
        """Return what was counted until now, by job type and organization, which is "" where none is told apart."""
        with self._lock:
            return copy.deepcopy(self._tallies)

    def _place(self, job_type: str, organization: str) -> tuple[str, str]:
        job_type = _bounded(self._types, job_type, MAX_TYPES)
        if not self.organizations:
            return job_type, ""
        place = job_type, _bounded(self._organizations, organization, self.organizations)
        return place if place in self._tallies or len(self._tallies) < MAX_PAIRS else (job_type, OTHER)


def _bounded(known: set[str], name: str, most: int) -> str:
    """Return the name if it is among the first so many, which are ``known``; else OTHER."""
    if len(known) < most:
        known.add(name)
    return name if name in known else OTHER


_counting: list[ProcessCounts] = []


def start_counting(counts: ProcessCounts) -> None:
    """Count into these from now on."""
    _counting[:] = [counts]


def stop_counting() -> None:
    """Count no more."""
    _counting.clear()


def count_exit(*, is_clean: bool) -> None:
    """Count a child that ended."""
    for counts in _counting:
        counts.exits["clean" if is_clean else "unexpected"] += 1


def count_history(tallies: Mapping[TallyKey, Tally]) -> None:
    """Count what the history of jobs tells; each entry of it is told to one scheduler, once."""
    if not _counting:
        return
    organizations = _shown_ids({place.organization: tally.organization_name for place, tally in tallies.items()})
    for counts in _counting:
        for place, tally in tallies.items():
            counts.add(place.job_type, organizations[place.organization], tally)


def _shown_ids(remembered: Mapping[Any, str]) -> Mapping[Any, str]:
    """Return the ids that these tenants have now, by key, where they are told; else those of their jobs' submission.

    The name of one that was renamed may be another's by now.
    """
    return recent_ids(remembered) if jobs_settings.METRICS_ORGANIZATIONS else remembered
