"""Every page of the console, the API and the shop, each with something to show: whoever adds a page adds it here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.auth.models import User

from django_jobs import create_batch, schedule_job
from django_jobs.models import AttemptLog, ExecutionLog, Job, JobType, Membership, Organization, SavedFilter, Schedule
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.breakers import make_fragile_type, open_by_failures
from tests.support.brokers import WORKER, end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.failures import die
from tests.support.operations import begin, finish
from tests.support.operations import start as start_operation
from tests.support.verbs import JobFilter, Order

ADMIN: Final = "/admin/django_jobs"
ERROR: Final = "The printer at https://printers.example.com/" + "a-very-long-name-" * 9
LINES: Final = (
    [1_780_000_000.25, "INFO", "shop.letters", "12 pages go to the printer"],
    [1_780_000_001.5, "WARNING", "shop.letters", "The printer is slow: " + "a-very-long-name-" * 9],
)
REPORT: Final = {"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]}


@dataclass(frozen=True)
class Look:
    """A page: its address and, where it comes only once a button was pressed, what that posts to it."""

    address: str
    posted: dict[str, str] = field(default_factory=dict)
    status: int = 200

    def __str__(self) -> str:
        return " ".join([self.address, *self.posted.values()])


class Console:
    """One of all there is, for an organization, a superuser and somebody who is staff of that organization alone."""

    def __init__(self, organization: Organization, operator: User, staff: User) -> None:
        self.organization, self.operator, self.staff = organization, operator, staff
        self.suspended = make_organization(name="ORG-GONE", title="Gone Fishing", is_active=False)
        self.fragile = make_fragile_type(type_name="send_fax")
        open_by_failures(self.fragile)
        self.kind = make_job_type(type_name="letters", display_name="Letters to customers")
        make_job_type(type_name="import_of_customers_from_marketplaces", is_paused=True, pool="default")
        make_job_type(type_name="labels_of_yesterday", is_enabled=False)
        self._run_jobs()
        self._raise_alarms()
        self._operate()
        self._save_filters()

    def keep_workers(self) -> None:
        """Let the workers have given a sign of life just now: without one, they have no buttons after some seconds."""
        for number, name in enumerate((WORKER, "worker-2", "worker-3"), start=1):
            supervisor = f"supervisor-{number}"
            verbs.announce_worker(
                name,
                verbs.broker_queue_names(),
                slots=4,
                supervisor=supervisor,
                supervisor_pid=number,
                memory=120,
            )
        for supervisor, order in (("2", Order.QUIET), ("3", Order.STOP)):
            verbs.give_order(f"supervisor-{supervisor}", order, self.operator)
        scheduler_ticks()

    def _run_jobs(self) -> None:
        kind, tenant = self.kind, self.organization
        self.dead = die(kind, tenant, "No printer answered", "Traceback (most recent call last): …")
        self.retried = die(make_job_type(type_name="labels"), tenant, "No paper")
        again = end(raised(start(pending_job(kind, tenant, user=self.staff)), text=ERROR))
        ended = (Status.COMPLETED, Status.TIMED_OUT, Status.CANCELED, Status.PENDING, Status.QUEUED)
        for status in ended:
            job_in(status, job_type=kind, organization=tenant, user=self.staff)
        moved = make_job_type(type_name="letter_of_customers_who_moved_to_another_town")
        owner = make_user("a.very.long.user.name@customers.example.com", member_of=[tenant])
        end(raised(start(pending_job(moved, tenant, user=owner, priority="Critical")), "Permanent", text=ERROR))
        self.running, _ = running_job(job_type=kind, organization=tenant, parameters={"address": "a-long-word-" * 9})
        for job in (self.dead, again):
            AttemptLog.objects.create(
                job_id=job.pk, attempt=1, first_lines=[LINES[0]], last_lines=[LINES[1]], kept=2, dropped=3
            )
        reports = JobType.objects.get(pk="pdf_generation")
        self.report = job_in(
            Status.COMPLETED, job_type=reports, organization=tenant, parameters=REPORT, user=self.staff
        )
        die(reports, tenant, ERROR)

    def _raise_alarms(self) -> None:
        keys = {str(self.organization.pk): 5}
        facts = {"failed": 5, "attempts": 5, "exception": "PrinterError", "error": ERROR, "organizations": keys}
        make_alert("type_failing", self.kind.pk, facts)
        make_alert("type_failing", self.fragile.pk, {"failed": 9, "attempts": 9}, ago=7200, cleared_ago=3600)

    def _operate(self) -> None:
        """Begin one operation and end it, pause one, and leave one to whatever scheduler comes."""
        self.operations = [finish(begin(self.retried, self.operator)).pk]
        paused = begin(self.dead, self.operator, rate=60)
        verbs.pause_operation(paused)
        waiting = JobFilter(job_type=(self.kind.pk,), status=(Status.PENDING, Status.QUEUED))
        self.operations += [paused.pk, start_operation(waiting, self.staff, "cancel").pk]

    def _save_filters(self) -> None:
        for user, name in ((self.operator, "What died of the printer"), (self.staff, "Mine")):
            SavedFilter.objects.create(user=user, name=name, query="q=printer&status=Dead+Letter")
        SavedFilter.objects.create(user=self.operator, name="a-long-name-" * 5, query="status=Failed", is_shared=True)

    def looks(self) -> Iterator[Look]:
        """Yield the pages of the admin, the workers first: they are silent after some seconds."""
        gets = [
            f"{ADMIN}/worker/",
            f"{ADMIN}/worker/supervisor-1/stop/",
            "/admin/",
            f"{ADMIN}/",
            f"{ADMIN}/alert/",
            *(f"{ADMIN}/monitor/?range={key}" for key in ("five", "hour", "week")),
            *(f"{ADMIN}/operation/{page}" for page in ("", *(f"{pk}/change/" for pk in self.operations))),
            f"{ADMIN}/operation/{self.operations[0]}/history/",
        ]
        yield from map(Look, gets)
        yield from self._failures()
        yield from self._jobs()
        yield from self._types()
        yield from self._organizations()
        yield from self._batches()
        yield from self._schedules()

    def _failures(self) -> Iterator[Look]:
        group = {"job_type": self.kind.pk, "fingerprint": self.dead.error_fingerprint}
        query = f"job_type={self.kind.pk}&fingerprint={self.dead.error_fingerprint}"
        pages = ("", f"?job_type={self.kind.pk}", "?job_type=nothing", "?status=retry", f"group/?{query}")
        yield from (Look(f"{ADMIN}/failure/{page}") for page in pages)
        waiting = Job.objects.filter(status=Status.FAILED, job_type=self.kind).latest("pk")
        group["fingerprint"] = waiting.error_fingerprint

    def _jobs(self) -> Iterator[Look]:
        pages = [
            "",
            f"?q=printer&job_type={self.kind.pk}",
            "?q=nothing+of+the+kind",
            "saved-filters/",
            *(
                f"all/{action}/?job_type={self.kind.pk}"
                for action in ("retry", "cancel", "delete", "set_priority", "run_now")
            ),
            f"{self.running.pk}/change/",
            f"{self.running.pk}/cancel/",
            *(f"{self.dead.pk}/{page}/" for page in ("change", "retry", "run-again", "history", "log/1")),
            f"{self.report.pk}/run-again/",
            f"{self.report.pk}/change/",
        ]
        yield from (Look(f"{ADMIN}/job/{page}") for page in pages)
        yield Look(f"{ADMIN}/job/{self.report.pk}/run-again/", {"parameters": "{"})
        for action in ("cancel", "set_priority", "delete"):
            yield Look(f"{ADMIN}/job/", {"action": f"{action}_jobs", "_selected_action": str(self.dead.pk)})
        entry = ExecutionLog.objects.filter(job=self.dead).latest("pk").pk
        pages = ["", f"?q={self.dead.name}", f"{entry}/change/", f"{entry}/history/"]
        yield from (Look(f"{ADMIN}/executionlog/{page}") for page in pages)

    def _types(self) -> Iterator[Look]:
        kind = self.kind.pk
        pages = ["", "add/", *(f"{kind}/{page}/" for page in ("change", "submit", "history", "delete"))]
        pages += [f"{self.fragile.pk}/{page}/" for page in ("change", "close_breaker")]
        yield from (Look(f"{ADMIN}/jobtype/{page}") for page in [*pages, "pdf_generation/submit/"])
        yield Look(f"{ADMIN}/jobtype/add/", {"type_name": "", "default_timeout": "soon"})

    def _organizations(self) -> Iterator[Look]:
        make_user("member", member_of=[self.organization])
        own = [f"{self.organization.pk}/{page}/" for page in ("change", "suspend", "history", "delete")]
        pages = ["", "add/", *own, *(f"{self.suspended.pk}/{page}/" for page in ("change", "reactivate"))]
        yield from (Look(f"{ADMIN}/organization/{page}") for page in pages)
        member = Membership.objects.latest("pk").pk
        pages = ["", "add/", *(f"{member}/{page}/" for page in ("change", "history", "delete"))]
        yield from (Look(f"{ADMIN}/membership/{page}") for page in pages)

    def _batches(self) -> Iterator[Look]:
        then = {"job_type": "labels"}
        batch = create_batch(self.organization, name="Letters of May", then=then)
        parent = batch.submit(self.kind)
        failing = [batch.submit(self.kind, {"number": number}, depends_on=[parent]) for number in range(2)]
        open_one = create_batch(self.organization, name="a-long-name-" * 9)
        end(raised(start(open_one.submit(self.kind)), "Permanent", text=ERROR))
        self.batch, self.waiting = batch, failing[0]
        pages = ["", "?q=letters", f"{batch.pk}/history/"]
        pages += [f"{batch.pk}/{page}/" for page in ("change", "close", "cancel")]
        pages += [f"{open_one.pk}/{page}/" for page in ("change", "retry", "follow-up")]
        yield from (Look(f"{ADMIN}/batch/{page}") for page in pages)
        yield Look(f"{ADMIN}/job/{parent.pk}/change/")
        yield Look(f"{ADMIN}/job/{self.waiting.pk}/change/")

    def _schedules(self) -> Iterator[Look]:
        kind, tenant = self.kind.pk, self.organization
        schedule = self.schedule = schedule_job("nightly", kind, tenant, every=60)
        verbs.fire_now(schedule)
        cron: dict[str, Any] = {"cron": "30 2 1,15 * MON-FRI", "timezone": "America/Argentina/Buenos_Aires"}
        paused = schedule_job("letters_of_each_organization", kind, None, **cron, is_enabled=False)
        broken = schedule_job("broken", kind, tenant, cron="0 2 * * *")
        Schedule.objects.filter(pk=broken.pk).update(fault="Its job type takes no such parameters: " + ERROR)
        pages = ["", "add/", f"add/?job_type={kind}"]
        pages += [f"{schedule.pk}/{page}/" for page in ("change", "fire", "history", "delete")]
        pages += [f"{paused.pk}/change/", f"{broken.pk}/change/"]
        yield from (Look(f"{ADMIN}/schedule/{page}") for page in pages)
        yield Look(f"{ADMIN}/schedule/", {"action": "fire_schedules", "_selected_action": str(schedule.pk)})
        yield Look(f"{ADMIN}/schedule/add/?job_type={kind}", {"cron": "0 25 * * *", "timezone": "Nowhere"})

    def shop(self) -> Iterator[Look]:
        """Yield the pages of the example project for its members."""
        yield Look(f"/shop/{self.organization.name}/")

    def api(self) -> Iterator[Look]:
        """Yield the pages of the browsable API; asked for after those of the admin."""
        job, batch = f"/api/jobs/{self.dead.name}/", f"/api/batches/{self.batch.batch_id}/"
        schedule = f"/api/schedules/{self.schedule.pk}/"
        pages = ["/api/", "/api/jobs/", job, f"{job}history/", "/api/jobs/metrics/"]
        pages += ["/api/jobs/operations/", f"/api/jobs/operations/{self.operations[0]}/", "/api/batches/", batch]
        pages += ["/api/job-types/", "/api/job-types/letters/", "/api/alerts/", "/api/schedules/", schedule]
        yield from map(Look, [*pages, f"{schedule}firings/", "/api/docs/"])
        yield Look("/api/jobs/?status=nothing", status=400)
