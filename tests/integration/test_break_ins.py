"""Every door for every kind of user: one table says who gets which answer, who sees what, and who changes anything.

What belongs to the organization is called "Zebra": whoever is told of that has seen something of the organization.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.utils import timezone

from django_jobs import create_batch, schedule_job, submit_job
from django_jobs.exceptions import BatchNotFound, JobNotFound
from django_jobs.models import (
    Alert,
    AttemptLog,
    Batch,
    ExecutionLog,
    Job,
    JobType,
    Membership,
    Operation,
    Organization,
    Schedule,
    ScheduledJob,
    ScheduleFiring,
)
from django_jobs.statuses import Status
from tests.support import admin, verbs
from tests.support.admin import VIEWS, chosen, url
from tests.support.alerts import make_alert
from tests.support.api import client_of, url_of
from tests.support.brokers import job_in
from tests.support.cases import rolled_back
from tests.support.commands import call
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import start
from tests.support.outputs import finished_with_file
from tests.support.verbs import JobFilter, JoinRefused, Room

pytestmark = pytest.mark.usefixtures("broker")

STAFF: Final[dict[str, Any]] = {"is_staff": True, "permissions": VIEWS}
ROLES: Final[dict[str, Callable[[Organization], Any]]] = {
    "anonymous": lambda _: None,
    "stranger": lambda _: make_user(**STAFF),
    "foreign admin": lambda _: make_user(admin_of=[make_organization()], **STAFF),
    "member": lambda own: make_user(member_of=[own], **STAFF),
    "organization admin": lambda own: make_user(admin_of=[own], **STAFF),
    "system admin": lambda _: make_user(is_staff=True, permissions=["django_jobs.manage_all_jobs"]),
}
OUTSIDERS: Final = ("stranger", "foreign admin")
#: What calls may change.
WRITTEN: Final[tuple[type[Model], ...]] = (
    Job,
    JobType,
    Batch,
    Schedule,
    Operation,
    Organization,
    Membership,
    Alert,
)


class Stage:
    """One organization with one of all there is, made by somebody else."""

    def __init__(self) -> None:
        self.organization = make_organization(title="Zebra Ltd")
        self.owner = make_user("zebra", admin_of=[self.organization])
        self.kind, self.unused = make_job_type(), make_job_type()
        self.own_kind = make_job_type(type_name="zebra_letters", submit_by="code")
        submit_job(self.own_kind, self.organization, run_at=timezone.now() + dt.timedelta(hours=1))
        statuses = (Status.PENDING, Status.RUNNING, Status.DEAD_LETTER, Status.COMPLETED)
        self.jobs = {status: self._job(status) for status in statuses}
        Job.objects.filter(status=Status.RUNNING).update(progress_message="Zebra 1 of 3")
        self.file = finished_with_file(self.organization, self.kind, filename="zebra.txt", content=b"zebra")
        self.batch = create_batch(self.organization, name="Zebra letters", user=self.owner)
        self._job(Status.DEAD_LETTER, batch=self.batch)
        self.schedule = schedule_job(
            "Zebra letters", self.kind, self.organization, every=60, overlap="allow", user=self.owner
        )
        verbs.fire_now(self.schedule)
        filters = JobFilter(organization=(self.organization.pk,), status=(Status.PENDING,), owner="zebra")
        self.operation = start(filters, None, "cancel")
        facts = {"failed": 5, "attempts": 5, "error": "zebra", "organizations": {str(self.organization.pk): 5}}
        self.alert = make_alert("type_failing", self.own_kind.pk, facts)
        self.log = ExecutionLog.objects.filter(job=self.job(Status.DEAD_LETTER)).latest("pk")
        self.membership = Membership.objects.get(user=self.owner)
        lines = [[1_780_000_000.25, "INFO", "letters", "zebra"]]
        AttemptLog.objects.create(job_id=self.file.pk, attempt=1, first_lines=lines, last_lines=[], kept=1, dropped=0)
        self.people = {role: make(self.organization) for role, make in ROLES.items()}
        self.rows = self.read()

    def _job(self, status: Status, **fields: Any) -> Job:
        given = {"parameters": {"status": f"zebra {status}"}, "user": self.owner, **fields}
        return job_in(status, job_type=self.kind, organization=self.organization, **given)

    def person(self, role: str) -> Any:
        """Somebody of this role who has asked for nothing yet; None for nobody."""
        user = self.people[role]
        return user and User.objects.get(pk=user.pk)

    def job(self, status: str) -> Job:
        return self.jobs[Status(status)]

    def read(self) -> list[Any]:
        return [list(model._base_manager.order_by("pk").values_list()) for model in WRITTEN]

    def is_changed(self) -> bool:
        return self.rows != self.read()


class Answer(NamedTuple):
    """What a door answers: its code, and all that it says."""

    code: str
    said: str


# The doors.


Door = Callable[[Stage, Any], Answer]
Words = Callable[[Stage], str]


def rest(method: str, address: Words, body: Callable[[Stage], Any] = lambda _: None, **query: Words) -> Door:
    def ask(stage: Stage, user: Any) -> Answer:
        path = address(stage)
        path = path if path.startswith("/") else f"/api/{path}"
        given: Any = {name: of(stage) for name, of in query.items()} if method == "get" else body(stage)
        client = client_of(user)
        return told(client.get(path, given) if method == "get" else getattr(client, method)(path, given, "json"))

    return ask


def console(address: Words, posted: Callable[[Stage], dict[str, Any]] | None = None) -> Door:
    def ask(stage: Stage, user: Any) -> Answer:
        client = Client() if user is None else admin.client_of(user)
        path = address(stage)
        return told(client.get(path) if posted is None else client.post(path, posted(stage)))

    return ask


def told(response: Any) -> Answer:
    said = b"".join(response.streaming_content) if response.streaming else response.content
    return Answer(str(response.status_code), said.decode())


def command(name: str, *arguments: Words) -> Door:
    def ask(stage: Stage, user: Any) -> Answer:
        given = [of(stage) for of in arguments]
        answer = call(name, *given, "--user", user.get_username())
        return Answer(str(answer.code), answer.out + answer.err)

    return ask


def socket(room: Words) -> Door:
    def ask(stage: Stage, user: Any) -> Answer:
        try:
            target = verbs.authorize_join(user or AnonymousUser(), Room(*room(stage).split(":")))
        except JoinRefused as refused:
            return Answer(refused.code, refused.detail)
        return Answer("joined", f"zebra {target.room}")

    return ask


def element(tag: str, of: Callable[[Stage], str]) -> Door:
    def ask(stage: Stage, user: Any) -> Answer:
        request = RequestFactory().get("/")
        request.user = user or AnonymousUser()
        template = Template(f"{{% load django_jobs django_jobs_admin %}}{{% {tag} %}}")
        try:
            return Answer("shown", template.render(Context({"request": request, "id": of(stage)})))
        except (JobNotFound, BatchNotFound) as error:
            return Answer(error.code, "")

    return ask


def job_id(status: str) -> Words:
    return lambda stage: stage.job(status).name


def job_page(page: str, status: str = Status.DEAD_LETTER) -> Words:
    return lambda stage: url("job", page, stage.job(status).pk)


def selected(verb: str) -> Callable[[Stage], dict[str, Any]]:
    return lambda _: chosen(verb, *Job.objects.all(), post="yes", confirmed="yes", priority="30")


def page_of(model: str, page: str, name: str = "") -> Words:
    return lambda stage: url(model, page, *([getattr(stage, name).pk] if name else []))


def in_console(path: str) -> Words:
    return lambda stage: f"/admin/django_jobs/{path}".format(stage=stage)


def words(text: str) -> Words:
    return lambda stage: text.format(stage=stage)


def submission(stage: Stage) -> dict[str, Any]:
    return {"job_type": stage.kind.pk, "organization": stage.organization.name}


def new_type(stage: Stage) -> dict[str, Any]:
    return {"type_name": stage.kind.pk, "handler_method": "tests.support.handlers.echo"}


def agreed(_: Stage) -> dict[str, Any]:
    """What the forms send that ask before they act."""
    return {"post": "yes", "confirmed": "yes", "parameters": "{}", "priority": "1"}


def failure(stage: Stage) -> dict[str, Any]:
    return {"job_type": stage.kind.pk, "error_fingerprint": stage.job("Dead Letter").error_fingerprint}


METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs."
organization = words("{stage.organization.name}")

REST: Final[dict[str, tuple[Door, str]]] = {
    "submit": (rest("post", words("jobs/"), submission), "401 400 201+ 201+ 201+"),
    "submit many": (rest("post", words("jobs/bulk/"), lambda s: [submission(s)]), "401 400 201+ 201+ 201+"),
    "submit into the batch": (
        rest("post", words("jobs/"), lambda s: {**submission(s), "batch": s.batch.batch_id}),
        "401 400 403 201+ 201+",
    ),
    "submit what waits for the job": (
        rest("post", words("jobs/"), lambda s: {**submission(s), "depends_on": [s.job("Pending").name]}),
        "401 400 201+ 201+ 201+",
    ),
    "jobs": (rest("get", words("jobs/")), "401 200 200! 200! 200!"),
    "jobs of the organization": (rest("get", words("jobs/"), organization=organization), "401 400 200! 200! 200!"),
    "jobs of the batch": (rest("get", words("jobs/"), batch=words("{stage.batch.batch_id}")), "401 200 200! 200! 200!"),
    "jobs of the schedule": (rest("get", words("jobs/"), schedule=words("Zebra letters")), "401 200 200! 200! 200!"),
    "jobs of the owner": (rest("get", words("jobs/"), owner=words("zebra")), "401 200 200! 200! 200!"),
    "job": (rest("get", lambda s: url_of(s.job("Pending"))), "401 404 200! 200! 200!"),
    "history of the job": (rest("get", lambda s: url_of(s.job("Pending"), "history")), "401 404 200! 200! 200!"),
    "output without a file": (rest("get", lambda s: url_of(s.job("Completed"), "output")), "401 404 404 404 404"),
    "output": (rest("get", lambda s: url_of(s.file, "output")), "401 404 200! 200! 200!"),
    "cancel the job": (rest("post", lambda s: url_of(s.job("Pending"), "cancel")), "401 404 403 200!+ 200!+"),
    "cancel the job that runs": (rest("post", lambda s: url_of(s.job("Running"), "cancel")), "401 404 403 202!+ 202!+"),
    "retry the job": (rest("post", lambda s: url_of(s.job("Dead Letter"), "retry")), "401 404 403 200!+ 200!+"),
    "delete the job": (rest("delete", lambda s: url_of(s.job("Completed"))), "401 404 403 403 204+"),
    "metrics": (rest("get", words("jobs/metrics/")), "401 200 200 200 200"),
    "metrics of the organization": (
        rest("get", words("jobs/metrics/"), organization=organization),
        "401 400 200 200 200",
    ),
    "socket ticket": (rest("post", words("jobs/socket-ticket/")), "401 200 200 200 200"),
    "operations": (rest("get", words("jobs/operations/")), "401 200 200 200 200!"),
    "operation": (rest("get", words("jobs/operations/{stage.operation.pk}/")), "401 404 404 404 200!"),
    "start an operation": (
        rest(
            "post",
            words("jobs/operations/"),
            lambda s: {"action": "cancel", "filters": {"organization": s.organization.name}},
        ),
        "401 400 403 202+ 202+",
    ),
    "start an operation on a type": (
        rest("post", words("jobs/operations/"), lambda s: {"action": "cancel", "filters": {"job_type": s.kind.pk}}),
        "401 403/400 403 202+ 202+",
    ),
    "pause the operation": (
        rest("post", words("jobs/operations/{stage.operation.pk}/pause/")),
        "401 404 404 404 200!+",
    ),
    "stop the operation": (rest("post", words("jobs/operations/{stage.operation.pk}/stop/")), "401 404 404 404 200!+"),
    "job types": (rest("get", words("job-types/")), "401 200 200 200 200!"),
    "job type": (rest("get", words("job-types/{stage.kind.pk}/")), "401 404/200 200 200 200"),
    "the organization's job type": (rest("get", words("job-types/zebra_letters/")), "401 404 404 404 200!"),
    "make a job type": (
        rest("post", words("job-types/"), lambda s: {**new_type(s), "type_name": "new_one"}),
        "401 403 403 403 201+",
    ),
    "change the job type": (
        rest("patch", words("job-types/{stage.kind.pk}/"), lambda _: {"is_paused": True}),
        "401 403 403 403 200+",
    ),
    "replace the job type": (
        rest("put", words("job-types/{stage.kind.pk}/"), new_type),
        "401 403 403 403 200+",
    ),
    "delete the job type": (rest("delete", words("job-types/{stage.unused.pk}/")), "401 403 403 403 204+"),
    "batches": (rest("get", words("batches/")), "401 200 200! 200! 200!"),
    "batches of the organization": (
        rest("get", words("batches/"), organization=organization),
        "401 400 200! 200! 200!",
    ),
    "batch": (rest("get", words("batches/{stage.batch.batch_id}/")), "401 404 200! 200! 200!"),
    "make a batch": (
        rest("post", words("batches/"), lambda s: {"organization": s.organization.name, "name": "new"}),
        "401 400 201+ 201+ 201+",
    ),
    "close the batch": (rest("post", words("batches/{stage.batch.batch_id}/close/")), "401 404 403 200!+ 200!+"),
    "cancel the batch": (rest("post", words("batches/{stage.batch.batch_id}/cancel/")), "401 404 403 200!+ 200!+"),
    "retry the batch": (rest("post", words("batches/{stage.batch.batch_id}/retry/")), "401 404 403 200!+ 200!+"),
    "schedules": (rest("get", words("schedules/")), "401 200 200 200! 200!"),
    "schedules of the organization": (
        rest("get", words("schedules/"), organization=organization),
        "401 400 200 200! 200!",
    ),
    "schedule": (rest("get", words("schedules/{stage.schedule.pk}/")), "401 404 404 200! 200!"),
    "firings of the schedule": (rest("get", words("schedules/{stage.schedule.pk}/firings/")), "401 404 404 200 200"),
    "make a schedule": (
        rest("post", words("schedules/"), lambda s: {"name": "new", "every": 60, **submission(s)}),
        "401 400 403 201+ 201+",
    ),
    "change the schedule": (
        rest("patch", words("schedules/{stage.schedule.pk}/"), lambda _: {"every": 90}),
        "401 404 404 200!+ 200!+",
    ),
    "fire the schedule": (rest("post", words("schedules/{stage.schedule.pk}/fire/")), "401 404 404 201+ 201+"),
    "pause the schedule": (rest("post", words("schedules/{stage.schedule.pk}/pause/")), "401 404 404 200!+ 200!+"),
    "delete the schedule": (rest("delete", words("schedules/{stage.schedule.pk}/")), "401 404 404 204+ 204+"),
    "alarms": (rest("get", words("alerts/")), "401 200 200! 200! 200!"),
}
METHODS: Final[dict[str, tuple[Door, str]]] = {
    "submit_job": (rest("post", words(f"{METHOD}submit_job"), submission), "401 400 200+ 200+ 200+"),
    "get_job_status": (
        rest("get", words(f"{METHOD}get_job_status"), job_id=job_id("Pending")),
        "401 404 200! 200! 200!",
    ),
    "get_job_history": (
        rest("get", words(f"{METHOD}get_job_history"), job_id=job_id("Pending")),
        "401 404 200! 200! 200!",
    ),
    "list_jobs": (rest("get", words(f"{METHOD}list_jobs"), organization=organization), "401 400 200! 200! 200!"),
    "get_job_metrics": (
        rest("get", words(f"{METHOD}get_job_metrics"), organization=organization),
        "401 400 200 200 200",
    ),
    "cancel_job": (
        rest("post", words(f"{METHOD}cancel_job"), lambda s: {"job_id": s.job("Pending").name}),
        "401 404 403 200+ 200+",
    ),
    "retry_job": (
        rest("post", words(f"{METHOD}retry_job"), lambda s: {"job_id": s.job("Dead Letter").name}),
        "401 404 403 200+ 200+",
    ),
}
CONSOLE: Final[dict[str, tuple[Door, str]]] = {
    "jobs": (console(in_console("job/")), "302 200 200! 200! 200!"),
    "jobs of the organization": (
        console(in_console("job/?organization={stage.organization.name}")),
        "302 200 200! 200! 200!",
    ),
    "jobs found by a word": (console(in_console("job/?q={stage.organization.name}")), "302 200 200! 200! 200!"),
    "live rows": (
        console(lambda s: f"/admin/django_jobs/job/live/?ids={s.job('Running').pk}"),
        "302 200 200! 200! 200!",
    ),
    "job": (console(job_page("change")), "302 302 200! 200! 200!"),
    "history of the job": (console(job_page("history")), "302 302 200 200 200"),
    "log of the handler": (console(lambda s: url("job", "log", s.file.pk, 1)), "302 302 403 403 200!"),
    "output": (console(lambda s: url("job", "output", s.file.pk)), "302 302 200! 200! 200!"),
    "run the job again": (console(job_page("run_again"), agreed), "302 302 302+ 302+ 302+"),
    "cancel the job": (console(job_page("cancel", "Pending"), agreed), "302 302 302 302+ 302+"),
    "retry the job": (console(job_page("retry"), agreed), "302 302 302 302+ 302+"),
    "cancel the selected": (console(page_of("job", "changelist"), selected("cancel")), "302 302 302 302+ 302+"),
    "retry the selected": (console(page_of("job", "changelist"), selected("retry")), "302 302 302 302+ 302+"),
    "delete the selected": (console(page_of("job", "changelist"), selected("delete")), "302 302 302 302 302+"),
    "set the priority of the selected": (
        console(page_of("job", "changelist"), selected("set_priority")),
        "302 302 302 302+ 302+",
    ),
    "run the selected now": (console(page_of("job", "changelist"), selected("run_now")), "302 302 302 302+ 302+"),
    "export the selected": (console(page_of("job", "changelist"), selected("export")), "302 200 200! 200! 200!"),
    "cancel all of the type": (
        console(in_console("job/all/cancel/?job_type={stage.kind.pk}"), agreed),
        "302 302 302 302+ 302+",
    ),
    "failures": (console(in_console("failure/")), "302 200 200! 200! 200!"),
    "failure": (
        console(lambda s: f"/admin/django_jobs/failure/group/?{urlencode(failure(s))}"),
        "302 302 200! 200! 200!",
    ),
    "retry the failures": (
        console(in_console("failure/act/"), lambda s: {**failure(s), "action": "retry_all"}),
        "302 302 403 302+ 302+",
    ),
    "operations": (console(in_console("operation/")), "302 200 200 200 200!"),
    "operation": (console(page_of("operation", "change", "operation")), "302 302 302 302 200!"),
    "stop the operation": (console(page_of("operation", "stop", "operation"), agreed), "302 302 302 302 302+"),
    "batches": (console(in_console("batch/")), "302 200 200! 200! 200!"),
    "batch": (console(page_of("batch", "change", "batch")), "302 302 200! 200! 200!"),
    "close the batch": (console(page_of("batch", "close", "batch"), agreed), "302 302 403 302+ 302+"),
    "cancel the batch": (console(page_of("batch", "cancel", "batch"), agreed), "302 302 403 302+ 302+"),
    "retry the batch": (console(page_of("batch", "retry", "batch"), agreed), "302 302 403 302+ 302+"),
    "schedules": (console(in_console("schedule/")), "302 403 403 403 200!"),
    "schedule": (console(page_of("schedule", "change", "schedule")), "302 403 403 403 200!"),
    "fire the schedule": (console(page_of("schedule", "fire", "schedule"), agreed), "302 403 403 403 302+"),
    "pause the schedule": (console(page_of("schedule", "pause", "schedule"), agreed), "302 403 403 403 302+"),
    "delete the schedule": (console(page_of("schedule", "delete", "schedule"), agreed), "302 403 403 403 302+"),
    "log": (console(in_console("executionlog/")), "302 200 200! 200! 200!"),
    "row of the log": (console(page_of("executionlog", "change", "log")), "302 302 200 200 200"),
    "job types": (console(in_console("jobtype/")), "302 200! 200! 200! 200!"),
    "the organization's job type": (console(page_of("jobtype", "change", "own_kind")), "302 200! 200! 200! 200!"),
    "submit": (
        console(
            page_of("jobtype", "submit", "kind"),
            lambda s: {"organization": s.organization.name, "parameters": "{}", "priority": ""},
        ),
        "302 403 403 403 302+",
    ),
    "pause the job type": (console(page_of("jobtype", "pause", "kind"), agreed), "302 403 403 403 302+"),
    "organizations": (console(in_console("organization/")), "302 200 200! 200! 200!"),
    "organization": (console(page_of("organization", "change", "organization")), "302 302 200! 200! 200!"),
    "suspend the organization": (
        console(page_of("organization", "suspend", "organization"), agreed),
        "302 403 403 403 302+",
    ),
    "memberships": (console(in_console("membership/")), "302 200 200! 200! 200!"),
    "membership": (console(page_of("membership", "change", "membership")), "302 302 200! 200! 200!"),
    "monitor": (console(in_console("monitor/?range=hour")), "302 200 200! 200! 200!"),
    "numbers of the bar": (console(in_console("monitor/navigation/")), "302 200 200 200 200"),
    "alarms": (console(in_console("alert/")), "302 200 200! 200! 200!"),
    "workers": (console(in_console("worker/")), "302 403 403 403 200"),
}
COMMANDS: Final[dict[str, tuple[Door, str]]] = {
    "submit": (command("jobs_submit", words("{stage.kind.pk}"), organization), "- 1 0+ 0+ 0+"),
    "cancel the job": (command("jobs_cancel", job_id("Pending")), "- 2 1 0+ 0+"),
    "retry the job": (command("jobs_retry", job_id("Dead Letter")), "- 2 1 0+ 0+"),
    "replay the job": (command("jobs_replay", job_id("Dead Letter")), "- 2 1 0+ 0+"),
    "cancel the batch": (command("jobs_cancel", words("{stage.batch.batch_id}")), "- 2 1 0+ 0+"),
    "cancel the organization's": (
        command("jobs_cancel", words("--organization"), organization, words("--yes")),
        "- 2 1 0+ 0+",
    ),
    "cancel those of the type": (
        command("jobs_cancel", words("--type"), words("{stage.kind.pk}"), words("--yes")),
        "- 1 1 0+ 0+",
    ),
    "stop the operation": (
        command("jobs_cancel", words("--stop-operation"), words("{stage.operation.pk}")),
        "- 2 2 2 0+",
    ),
    "pause the job type": (command("jobs_pause", words("{stage.kind.pk}")), "- 1 1 1 0+"),
    "pause the schedule": (command("jobs_pause", words("--schedule"), words("{stage.schedule.pk}")), "- 2 2 0!+ 0!+"),
    "pause the operation": (command("jobs_pause", words("--operation"), words("{stage.operation.pk}")), "- 2 2 2 0+"),
    "pause the organization": (
        command("jobs_pause", words("--organization"), organization, words("--yes")),
        "- 2 1 1 0+",
    ),
}
SOCKETS: Final[dict[str, tuple[Door, str]]] = {
    "job": (socket(lambda s: f"job:{s.job('Pending').name}"), "not_found not_found joined! joined! joined!"),
    "batch": (socket(words("batch:{stage.batch.batch_id}")), "not_found not_found joined! joined! joined!"),
    "organization": (socket(words("org:{stage.organization.name}")), "not_found not_found joined! joined! joined!"),
    "all": (socket(words("admin:jobs")), "forbidden forbidden forbidden forbidden joined!"),
}
ELEMENTS: Final[dict[str, tuple[Door, str]]] = {
    "job": (element("job_progress id", job_id("Running")), "unknown_job unknown_job shown! shown! shown!"),
    "batch": (
        element("batch_progress id", words("{stage.batch.batch_id}")),
        "unknown_batch unknown_batch shown! shown! shown!",
    ),
    "alarms": (element("alarm_panel", words("")), "shown shown shown! shown! shown!"),
}
DOORS: Final = {
    "rest": REST,
    "method": METHODS,
    "console": CONSOLE,
    "command": COMMANDS,
    "socket": SOCKETS,
    "element": ELEMENTS,
}
CALLS: Final = {(door, name): call for door, calls in DOORS.items() for name, call in calls.items()}
#: Pages about the host's code, which the model's own permission opens to staff of any organization.
OF_THE_HOST: Final = {("console", "job types"), ("console", "the organization's job type")}


def outcomes(cells: str) -> dict[str, str]:
    """The outcome for each role that the door knows."""
    anonymous, outsiders, *others = cells.split()
    stranger, _, foreign = outsiders.partition("/")
    found = dict(zip(ROLES, (anonymous, stranger, foreign or stranger, *others), strict=True))
    return {role: told for role, told in found.items() if told != "-"}


def outcome(ask: Door, stage: Stage, role: str) -> str:
    """What the door answers, with ``!`` where it shows what is the organization's, and ``+`` where rows are changed."""
    code, said = ask(stage, stage.person(role))
    return code + "!" * ("zebra" in said.lower()) + "+" * stage.is_changed()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_who_gets_which_answer_sees_what_and_changes_what(subtests: pytest.Subtests, stage: Stage) -> None:
    for (door, name), (ask, cells) in CALLS.items():
        for role, told in outcomes(cells).items():
            with rolled_back(subtests, door=door, call=name, role=role):
                assert outcome(ask, stage, role) == told


def test_the_table_lets_no_outsider_see_or_change_anything() -> None:
    seen = {
        call
        for call, (_, cells) in CALLS.items()
        for role, told in outcomes(cells).items()
        if role in OUTSIDERS and not {"!", "+"}.isdisjoint(told)
    }
    assert seen == OF_THE_HOST


def told_to_foreign_admins(code: str) -> list[tuple[str, str]]:
    """The calls of REST that answer them so."""
    calls = [(call, cells) for call, (_, cells) in CALLS.items() if call[0] in ("rest", "method")]
    return [call for call, cells in calls if outcomes(cells)["foreign admin"] == code]


def test_anothers_row_and_one_that_is_not_there_read_alike(subtests: pytest.Subtests, stage: Stage) -> None:
    for name in told_to_foreign_admins("404"):
        with rolled_back(subtests, call=name):
            ask, _ = CALLS[name]
            foreign = ask(stage, stage.person("foreign admin"))
            for model in (ScheduledJob, ScheduleFiring, Job, Batch, Schedule, Operation):
                model._base_manager.all()._raw_delete("default")
            assert ask(stage, stage.person("foreign admin")) == foreign


def test_anothers_organization_and_one_that_is_not_there_read_alike(subtests: pytest.Subtests, stage: Stage) -> None:
    for name in told_to_foreign_admins("400"):
        with rolled_back(subtests, call=name):
            ask, _ = CALLS[name]
            foreign = ask(stage, stage.person("foreign admin"))
            Organization.objects.filter(pk=stage.organization.pk).delete()
            assert ask(stage, stage.person("foreign admin")) == foreign


@pytest.mark.parametrize(("role", "seen"), [("stranger", 0), ("foreign admin", 0), ("member", 8), ("system admin", 9)])
def test_a_list_holds_what_one_may_see(role: str, seen: int, stage: Stage) -> None:
    job_in("Pending")
    assert client_of(stage.person(role)).get("/api/jobs/").json()["count"] == seen


@pytest.mark.parametrize("role", ["member", "organization admin", "system admin"])
def test_owners_cancel_what_is_theirs(role: str, stage: Stage) -> None:
    client = client_of(stage.person(role))
    job_id = client.post("/api/jobs/", submission(stage), "json").json()["job_id"]
    answer = client.post(url_of(job_id, "cancel"))
    assert (answer.status_code, answer.json()["status"]) == (200, "Canceled")


def test_a_deactivated_user_is_nobody(stage: Stage) -> None:
    client = client_of(make_user(member_of=[stage.organization], is_active=False))
    assert client.get(url_of(stage.job("Pending"))).status_code == 404
