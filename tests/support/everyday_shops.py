"""Some organizations on an ordinary day, for the pictures of the docs: what runs, what waits, what failed, and why."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone

from django_jobs import create_batch, schedule_job
from django_jobs.models import AttemptLog, ExecutionLog, Job, JobType, SavedFilter, Schedule, Span
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.activity import roll_up
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.brokers import end, job_in, pending_job, raised, reread, returned, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import later
from tests.support.operations import start as start_operation
from tests.support.verbs import ActivityPlace, JobFilter, OperationWork, Order, Tally

TITLES: Final = ("Brightwater Books", "Acme Paper", "Nordlicht GmbH", "مؤسسة النور")
KINDS: Final = ("welcome_mail", "print_letters", "resize_image", "import_orders", "payout")
WORKER, QUIET_WORKER = "worker-1", "worker-2"
HOUR: Final = 3_600
TRACEBACK: Final = "Traceback (most recent call last):\n  File {place}\n    {code}\n{error}"
LINE_17: Final = "Line 17 of orders.csv has 4 columns; the header has 6"
FAULT: Final = "parameters: source: This field is required."
#: What dies: its type, its error, where it was raised and by which line, and how many jobs of each organization.
DEATHS: Final = (
    (
        "welcome_mail",
        "shop.mailing.InvalidMailer: smtp.example.com refused the connection: certificate expired",
        '"/srv/shop/shop/mailing.py", line 10, in send_messages',
        "raise InvalidMailer(reason)",
        (14, 9),
    ),
    (
        "payout",
        "KeyError: 'tax_id'",
        '"/srv/shop/shop/payouts.py", line 23, in row',
        "return customer['tax_id'], customer['net']",
        (7, 3, 4),
    ),
    (
        "print_letters",
        "shop.printers.NoPaper: The printer of the second floor has no paper",
        '"/srv/shop/shop/printers.py", line 51, in print_pages',
        "raise NoPaper(printer)",
        (2, 0, 0, 3),
    ),
)
#: The same of the job whose page is shown.
NOT_THERE: Final = (
    "import_orders",
    "shop.orders.NotThere: The price list of warehouse 4 is not there yet",
    '"/srv/shop/shop/orders.py", line 22, in import_orders',
    "raise NotThere(warehouse)",
)


def age(job: Job, seconds: float) -> Job:
    """Let all that has happened to a job have happened so much earlier."""
    by = dt.timedelta(seconds=seconds)
    moments = ("created_at", "queued_at", "started_at", "completed_at")
    Job.objects.filter(pk=job.pk).update(**{name: F(name) - by for name in moments})
    ExecutionLog.objects.filter(job=job).update(timestamp=F("timestamp") - by)
    return reread(job)


def fail(job: Job, death: tuple[Any, ...], kind: str, ran: float = 0) -> None:
    """Let an attempt of the job fail of one of the errors above, after so many seconds."""
    error, place, code = death[1:4]
    traceback = TRACEBACK.format(place=place, code=code, error=error)
    claimed = start(job, WORKER)
    age(job, ran)
    end(raised(claimed, kind, text=error, traceback=traceback, place=place))


class EverydayShops:
    """Four organizations with their jobs. ``job``, ``batch`` and ``operation`` are those whose pages are shown."""

    def __init__(self, operator: User) -> None:
        self.operator = operator
        self.organizations = [make_organization(title=title) for title in TITLES]
        self.owner = make_user("anna", member_of=self.organizations)
        self.kinds = {name: make_job_type(type_name=name, default_timeout=300) for name in KINDS}
        self._count_a_week()
        self.operation = self._operate()
        self._end_jobs()
        self._schedule()
        self._wait()
        self._let_die()
        self._make_batch()
        self.job = self._run_thrice()
        self._run()
        self._raise_alarms()
        for name, query in (("Dead letters of Brightwater", "status=Dead+Letter"), ("What runs", "status=Running")):
            SavedFilter.objects.create(user=operator, name=name, query=query, is_shared=True)
        roll_up()

    def keep_workers(self) -> None:
        """Let the workers have given a sign of life just now; the second one takes no new jobs."""
        quiet = timezone.now() - dt.timedelta(minutes=4)
        for number, name, quiet_since in ((1, WORKER, None), (2, QUIET_WORKER, quiet)):
            program = {"supervisor_pid": 4000 + number, "supervisor": f"supervisor-{number}"}
            facts: dict[str, Any] = {"memory": 112 + number, "quiet_since": quiet_since, **program}
            verbs.announce_worker(name, verbs.broker_queue_names(), slots=8, **facts)
        verbs.give_order("supervisor-2", Order.QUIET, self.operator)
        scheduler_ticks(1)

    def _count_a_week(self) -> None:
        """Let the scheduler have counted a week of days and nights, the last of them with failures."""
        minutes: dict[ActivityPlace, Tally] = {}
        now = timezone.now()
        for hours in range(7 * 24):
            at = verbs.start_of_span(Span.MINUTE, now - dt.timedelta(hours=hours))
            busy = 1.1 - math.cos(2 * math.pi * (at.hour - 2) / 24) + ((hours * 7919) % 13) / 60
            for number, name in enumerate(KINDS):
                tally, ended = Tally(organization_name=self.organizations[0].name), int(busy * (160 - 25 * number))
                seconds = 0.5 + number + busy
                tally.measure("run", seconds * ended, verbs.histogram_class(seconds), ended)
                tally.measure("wait", busy * ended, verbs.histogram_class(busy), ended)
                failed = ended // 40 + (ended // 3 if hours < 4 and name == "welcome_mail" else 0)
                counts = {"submitted": ended + failed // 2, "started": ended + failed, "completed": ended}
                for counter, count in {**counts, "failed": failed, "died": failed // 4}.items():
                    tally.count(counter, count)
                minutes[ActivityPlace(int(Span.MINUTE), at, name, self.organizations[0].pk)] = tally
        verbs.add_activity(minutes)

    def _end_jobs(self) -> None:
        for number in range(36):
            kind = self.kinds[KINDS[number % 3]]
            claimed = start(pending_job(kind, self.organizations[number % 4], user=None if number % 2 else self.owner))
            age(end(returned(claimed)), 60 * (40 - number))

    def _let_die(self) -> None:
        for death in DEATHS:
            for tenant, count in zip(self.organizations, death[-1], strict=False):
                for number in range(count):
                    job = pending_job(self.kinds[death[0]], tenant)
                    fail(job, death, "Transient" if number == 0 else "Permanent")
                    age(job, 60 + (number * 2_741) % (9 * HOUR))

    def _make_batch(self) -> None:
        tenant, letters = self.organizations[0], self.kinds["print_letters"]
        with create_batch(tenant, name="Letters of November", then={"job_type": "payout"}) as batch:
            first = batch.submit(self.kinds["import_orders"])
            pages = [batch.submit(letters, {"page": page}, depends_on=[first]) for page in range(1, 9)]
        age(end(returned(start(first))), 90)
        for page in pages[:4]:
            end(returned(start(page)))
        fail(pages[4], DEATHS[2], "Permanent")
        start(pages[5], WORKER)
        Job.objects.filter(pk=pages[5].pk).update(progress=40, progress_message="Page 2 of 5")
        self.batch = batch

    def _run_thrice(self) -> Job:
        """A job in its third attempt, for which others wait."""
        tenant = self.organizations[0]
        source = {"source": "warehouse-4/orders.csv", "rows": 60}
        job = pending_job("import_orders", tenant, parameters=source, user=self.owner)
        for attempt, (ran, paused) in enumerate(((2, 5), (3, 12)), start=1):
            fail(job, NOT_THERE, "Transient", ran)
            line = [timezone.now().timestamp() - ran, "INFO", "shop.orders", "Looking for the price list"]
            AttemptLog.objects.create(job_id=job.pk, attempt=attempt, first_lines=[line], kept=1)
            age(job, paused)
        start(job, WORKER)
        Job.objects.filter(pk=job.pk).update(progress=12, progress_message="Row 7 of 60")
        for name in ("print_letters", "resize_image"):
            pending_job(self.kinds[name], tenant, depends_on=[job])
        return age(job, 33)

    def _wait(self) -> None:
        for number in range(8):
            age(pending_job(self.kinds["print_letters"], self.organizations[number % 4]), 190 - number)

    def _run(self) -> None:
        """What the first rows of the list show: jobs with bars, and some that just failed."""
        for number in range(5):
            image, tenant = {"image": f"cover-{number}.png"}, self.organizations[number % 4]
            job = pending_job(self.kinds["resize_image"], tenant, parameters=image, user=self.owner)
            start(job, WORKER)
            Job.objects.filter(pk=job.pk).update(progress=24 + 17 * number, progress_message="Scaling")
            age(job, 60 - 9 * number)
            if number % 2:
                dead = pending_job(self.kinds[DEATHS[number - 1][0]], tenant)
                fail(dead, DEATHS[number - 1], "Permanent")
                age(dead, 56 - 9 * number)
        age(pending_job(self.kinds["resize_image"], self.organizations[1], priority="High"), 2)

    def _schedule(self) -> None:
        first, second = self.organizations[:2]
        berlin: dict[str, Any] = {"timezone": "Europe/Berlin"}
        verbs.fire_now(schedule_job("nightly report", "pdf_generation", first, cron="0 2 * * *", **berlin))
        schedule_job("letters of the month", "print_letters", None, cron="0 6 1 * *", is_enabled=False, **berlin)
        schedule_job("payouts", "payout", second, cron="30 7 * * MON-FRI", **berlin)
        verbs.fire_now(schedule_job("price lists", "import_orders", first, every=900))
        since = timezone.now() - dt.timedelta(seconds=310)
        broken = schedule_job("stock list", "import_orders", self.organizations[2], cron="*/30 * * * *")
        Schedule.objects.filter(pk=broken.pk).update(fault=FAULT, faulty_since=since)
        facts = {"schedule": broken.pk, "job_type": "import_orders", "error": FAULT}
        organization = str(self.organizations[2].pk)
        facts |= {"since": since.isoformat(), "error_of": organization, "organizations": {organization: 0}}
        make_alert("schedule_cannot_fire", broken.name, facts, ago=310)

    def _raise_alarms(self) -> None:
        JobType.objects.filter(pk="payout").update(is_paused=True)
        keys = [str(organization.pk) for organization in self.organizations]
        mails, payouts, letters = DEATHS
        for (name, error, *_place, counts), ago, cleared in (
            (mails, 445, None),
            (payouts, 17 * HOUR, None),
            (letters, 9 * HOUR, 5 * HOUR),
        ):
            owners = {key: count for key, count in zip(keys, counts, strict=False) if count}
            count = sum(counts)
            facts = {"failed": count, "attempts": count, "exception": error, "organizations": owners}
            make_alert("type_failing", name, facts, ago=ago, cleared_ago=cleared)
        for name, error, ago in (("resize_image", "Ran longer than 300 seconds", 21), ("import_orders", LINE_17, 12)):
            facts = {"failed": 9, "attempts": 12, "exception": error, "organizations": dict.fromkeys(keys[:2], 4)}
            make_alert("type_failing", name, facts, ago=ago * HOUR, cleared_ago=(ago - 3) * HOUR)

    def _operate(self) -> Any:
        """Have an operation canceled most of what timed out."""
        reports = JobType.objects.get(pk="pdf_generation")
        for number in range(31):
            tenant = self.organizations[number % 4]
            days = {"date_range": ["2025-01-01", f"2025-01-{number + 1:02}"]}
            job = job_in(Status.TIMED_OUT, job_type=reports, organization=tenant, parameters=days)
            age(job, 120 + 631 * number % (6 * HOUR))
        timed_out = JobFilter(job_type=(reports.pk,), status=(Status.TIMED_OUT,))
        operation = start_operation(timed_out, self.operator, "cancel", rate=60)
        for _round in range(5):
            later(operation, 9)
            OperationWork().do_round()
        return operation
