"""Every duty of the scheduler, read from the scheduler itself, on a state that has something for each of them."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db.models import F
from django.db.models.functions import Now

from django_jobs import schedule_job
from django_jobs.models import (
    DuplicateKey,
    Job,
    Organization,
    OrganizationActivity,
    Schedule,
    ScheduleFiring,
    SocketTicket,
    Worker,
)
from lab.faults.crash_points.processes import Ending
from lab.faults.crash_points.recovery import PatientScheduler
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.scenarios.control import acted_once, ended_with_files, operation
from lab.faults.crash_points.world import ONCE, ORGANIZATIONS, PLAIN, VICTIM, admin, queued, running, submitted
from tests.support import verbs
from tests.support.brokers import queue_up
from tests.support.factories import make_organization
from tests.support.verbs import CLOCKWORK_DUTY as FIRE_SCHEDULES
from tests.support.waiting import wait_until


def backlog() -> list[int]:
    """Jobs of two tenants that wait for the dispatcher."""
    return [submitted(organization=name).pk for name in ORGANIZATIONS for _ in range(2)]


def lost_tickets() -> list[int]:
    """Two jobs whose tickets were lost with all that Redis had, and two that never got any."""
    return [queue_up(submitted()).pk for _ in range(2)]


def expired_leases() -> list[int]:
    pks = [running(max_retries=number).pk for number in (0, 2)]
    Job.objects.filter(pk__in=pks).update(lease_expires_at=Now() - dt.timedelta(seconds=1))
    return pks


def dead_neighbor() -> list[int]:
    """Two jobs of a worker of this machine that was killed together with its supervisor."""
    verbs.announce_worker(VICTIM, ["jobs-normal"], slots=1)
    Worker.objects.update(processes=f"{NO_PROCESS}@1")
    return [running(max_retries=number).pk for number in (0, 2)]


def overdue() -> list[int]:
    jobs = [submitted(expires_at=verbs.now() + dt.timedelta(hours=1)), queued()]
    Job.objects.filter(pk=jobs[0].pk).update(expires_at=Now() - dt.timedelta(seconds=1))
    return [job.pk for job in jobs]


def unseen_family() -> list[int]:
    """A family of which nobody has looked at the child yet, since the process died that linked it."""
    parent = submitted()
    return [parent.pk, submitted(depends_on=[parent]).pk]


def tenant_gone() -> list[int]:
    tenant = make_organization(name=None)
    parent = submitted(organization=tenant.name)
    pks = [parent.pk, submitted(organization=tenant.name, depends_on=[parent]).pk]
    pks.append(queue_up(submitted(organization=tenant.name)).pk)
    Organization.objects.filter(pk=tenant.pk).delete()
    return pks


def old_jobs() -> list[int]:
    pks = ended_with_files()
    ago = dt.timedelta(days=100)
    Job.objects.filter(pk__in=pks).update(created_at=F("created_at") - ago, completed_at=F("completed_at") - ago)
    return pks


def deleted_with_files() -> list[int]:
    pks = ended_with_files()
    verbs.delete_job_rows(pks)
    return pks


def old_keys() -> list[int]:
    job = submitted(ONCE, parameters={"number": 1})
    DuplicateKey.objects.update(expires_at=Now() - dt.timedelta(seconds=1))
    return [job.pk]


def silent_workers() -> None:
    verbs.announce_worker("silent", ["jobs-normal"], slots=1)
    Worker.objects.update(last_seen=Now() - dt.timedelta(hours=1))


def old_activity() -> None:
    ended_with_files()
    verbs.catch_up_rollups()
    OrganizationActivity.objects.update(starts_at=F("starts_at") - dt.timedelta(days=3_000))


def old_tickets() -> None:
    verbs.make_socket_ticket(admin())
    SocketTicket.objects.update(expires_at=Now() - dt.timedelta(seconds=1))


def due_schedule() -> str:
    """A schedule that is due, for both tenants; the moment."""
    schedule_job("hourly", PLAIN, every=3600)
    due = verbs.now().replace(microsecond=0) - dt.timedelta(seconds=1)
    Schedule.objects.update(created_at=due - dt.timedelta(hours=1), next_run_at=due)
    return due.isoformat()


#: Seconds for which others who use the server may leave a transaction open: what is counted waits for all of them.
OTHERS_SECONDS: Final = 240.0
#: No kernel gives a process so high a number.
NO_PROCESS: Final = 2**30
#: What each duty finds to do; one that is not named here finds the backlog.
STATES: Final[dict[str, Callable[[], Any]]] = {
    "reissue_tickets": lost_tickets,
    "rescue_expired": expired_leases,
    "expire": overdue,
    "end_neighbors": dead_neighbor,
    "follow_up": unseen_family,
    "bury_orphans": tenant_gone,
    "operate": operation("retry"),
    "roll_up": ended_with_files,
    "forget_activity": old_activity,
    "prune": old_jobs,
    "delete_files": deleted_with_files,
    "forget_duplicates": old_keys,
    "forget_workers": silent_workers,
    "forget_socket_tickets": old_tickets,
    FIRE_SCHEDULES: due_schedule,
}


def do(name: str, given: Any) -> None:
    """Do the duty as a scheduler does; some need a second look."""
    scheduler = PatientScheduler("the-victim")
    for _ in range(2 if name in {"reissue_tickets", "roll_up"} else 1):
        scheduler._do(name, scheduler._duties()[name])
        scheduler._next_rolling_up = 0.0


def lead(given: Any) -> bool:
    scheduler = PatientScheduler("the-victim")
    leads = scheduler.lead()
    scheduler.resign()
    return leads


def _is_all_counted() -> bool:
    verbs.catch_up_rollups()
    return not verbs.rollups_behind()


def counted_once(given: Any, ending: Ending) -> Iterator[str]:
    """What the log holds was counted once."""
    wait_until(_is_all_counted, OTHERS_SECONDS, "transactions of the server that are still open, whosever they are")
    first = sum(OrganizationActivity.objects.filter(span=60).values_list("completed", flat=True))
    if first != len(given):
        yield f"{len(given)} jobs completed, and {first} were counted."


def nothing_more(given: Any, ending: Ending) -> Iterator[str]:
    return iter(())


def pruned(given: Any, ending: Ending) -> Iterator[str]:
    if Job.objects.filter(pk__in=given).exists():
        yield "An old job is still there."


def fired_once(given: str, ending: Ending) -> Iterator[str]:
    """The moment fired once, with a job for each tenant."""
    firings = ScheduleFiring.objects.filter(due_at=dt.datetime.fromisoformat(given)).count()
    names = list(Job.objects.filter(metadata__schedule="hourly").values_list("organization_name", flat=True))
    if firings != 1 or sorted(names) != sorted(ORGANIZATIONS):
        yield f"The schedule fired {firings} times, with jobs for {sorted(names)}."


CHECKS: Final = {
    "roll_up": counted_once,
    "prune": pruned,
    "operate": acted_once,
    FIRE_SCHEDULES: fired_once,
}


def _of(name: str) -> Scenario:
    return Scenario(
        name=f"duty: {name}",
        prepare=STATES.get(name, backlog),
        act=functools.partial(do, name),
        check=CHECKS.get(name, nothing_more),
        duties=(name,),
        is_full=name in {"end_neighbors", "follow_up", "operate"},
    )


SCENARIOS: Final = (
    *(_of(name) for name in PatientScheduler("any")._duties()),
    Scenario(name="lead and resign", act=lead),
)
