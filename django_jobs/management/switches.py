"""What ``jobs_pause`` and ``jobs_resume`` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, NamedTuple

from django.core.management.base import CommandParser

from django_jobs import pools
from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, organization_model_name
from django_jobs.engine.access import find_organization_pk, key_in
from django_jobs.engine.control import switches
from django_jobs.engine.control.operations import operations_seen_by
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.search import similar, similar_job_types
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.schedules.definitions import visible_schedules
from django_jobs.exceptions import JobNotFound, JobsError
from django_jobs.management.shell import (
    Refused,
    ShellCommand,
    acting_user,
    add_user,
    confirm,
    refusal_of,
    told_plainly,
    unknown,
    usage,
)
from django_jobs.models import JobType, Operation, Schedule, WorkerOrder
from django_jobs.texts import said, say

# What ``jobs_pause`` and ``jobs_resume`` switch: finding each by its name, and what both commands share.


UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"
#: Schedules of one name that are told.
MAX_SAME: Final = 10


class Target(NamedTuple):
    """What is to be switched: its kind and its name, and what does it, which returns whether it was different."""

    kind: str
    name: str
    switch: Callable[[], bool]


class Switched(NamedTuple):
    """What became of a target; ``reason`` is empty unless it was refused."""

    target: Target
    result: str
    reason: str = ""


class SwitchCommand(ShellCommand):
    """A command that pauses or resumes. All names are looked up before anything is switched."""

    #: What it does, and what it is called once it is done.
    verb: ClassVar[str]
    done: ClassVar[str]
    #: The options that name what is switched.
    choices: ClassVar[tuple[str, ...]] = ("--all", "--pool", "--schedule", "--operation", "--organization", "--worker")

    def add_arguments(self, parser: CommandParser) -> None:
        verb = self.verb.capitalize()
        parser.add_argument("types", nargs="*", metavar="TYPE", help=f"{verb} these job types.")
        parser.add_argument("--all", action="store_true", help=f"{verb} all job types.")
        parser.add_argument("--yes", action="store_true", help="Do not ask before --all and --organization.")
        for name, metavar, what in (
            ("pool", "NAME", "all job types of this pool"),
            ("schedule", "NAME|N", "the schedule with this name, or, where several organizations have it, this number"),
            ("operation", "N", "the operation with this number"),
            ("organization", "ID", "this organization, of the built-in model: while it is paused nothing of it starts"),
            ("worker", "NAME", "taking new jobs, in all workers of the machine's process that has this worker"),
        ):
            text = f"{verb} {what}; may be repeated."
            parser.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=text)
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with told_plainly():
            try:
                user = acting_user(options["user"])
                targets = list({(item.kind, item.name): item for item in self.targets(options, user)}.values())
                if not targets:
                    raise self._nothing(options)
                self._ask(options, targets)
                self._tell([_switched(item, self.done) for item in targets])
            except JobsError as error:
                raise refusal_of(error) from error

    def targets(self, options: dict[str, Any], user: Any) -> Iterator[Target]:
        """Yield what the options name. Raises Refused for a name that is not there."""
        for kind in self._types(options, user):
            yield Target("job_type", kind.pk, lambda kind=kind: self.switch_type(kind, user))  # type: ignore[misc]
        for name in options["schedule"]:
            found = _find_schedule(name, user)
            yield Target("schedule", str(found), lambda found=found: self.switch_schedule(found, user))  # type: ignore[misc]
        for number in options["operation"]:
            row = find_operation(number, user)
            yield Target("operation", str(row.pk), lambda row=row: self.switch_operation(row, user))  # type: ignore[misc]
        for name in options["organization"]:
            pk = _find_organization(name, user)
            yield Target("organization", name, lambda pk=pk: self.switch_organization(pk, user))  # type: ignore[misc]
        for name in options["worker"]:
            own = _find_supervisor(name, user)
            yield Target("worker", name, lambda own=own: self.switch_worker(own, user))  # type: ignore[misc]

    def switch_type(self, kind: JobType, user: Any) -> bool:
        """Switch a job type; return whether it was different."""
        raise NotImplementedError

    def switch_schedule(self, schedule: Schedule, user: Any) -> bool:
        """Switch a schedule; return whether it was different."""
        raise NotImplementedError

    def switch_operation(self, operation: Operation, user: Any) -> bool:
        """Switch an operation; return whether it was different."""
        raise NotImplementedError

    def switch_organization(self, pk: Any, user: Any) -> bool:
        """Switch an organization; return whether it was different."""
        raise NotImplementedError

    def switch_worker(self, supervisor: str, user: Any) -> bool:
        """Order a supervisor's workers; return whether they were ordered something else before."""
        raise NotImplementedError

    def _types(self, options: dict[str, Any], user: Any) -> Iterator[JobType]:
        names, of_pools = options["types"], options["pool"]
        for pool in of_pools:
            if pool not in pools.names():
                raise unknown("pool", pool, similar(pool, pools.names()), f" There is {', '.join(pools.names())}.")
        storable = [name for name in names if is_storable_text(name)]
        kinds = {kind.pk: kind for kind in JobType.primary.filter(pk__in=storable)}
        for name in names:
            if name not in kinds:
                raise unknown("job type", name, similar_job_types(name) if user is None else ())
        yield from (kinds[name] for name in names)
        if options["all"] or of_pools:
            rows = JobType.primary.order_by("pk")
            yield from rows if options["all"] else rows.filter(pool__in=of_pools)

    def _nothing(self, options: dict[str, Any]) -> Refused:
        if options["all"] or options["pool"]:
            text = say("There is no job type to %(verb)s.", code="nothing_matches", verb=self.verb)
            return Refused(text, code="nothing_matches")
        *others, last = self.choices
        pattern = "Say what to %(verb)s: job types, %(others)s or %(last)s."
        return usage(say(pattern, code="names_nothing", verb=self.verb, others=", ".join(others), last=last))

    def _ask(self, options: dict[str, Any], targets: list[Target]) -> None:
        if not (options["all"] or options["organization"]):
            return
        counts = Counter(item.kind.replace("_", " ") for item in targets)
        what = " and ".join(f"{count:,} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())
        confirm(self, f"{what} would be {self.done}", is_agreed=options["yes"])

    def _tell(self, found: list[Switched]) -> None:
        counts = Counter(item.result for item in found)
        rows = [{"kind": x.target.kind, "name": x.target.name, "result": x.result, "reason": x.reason} for x in found]
        totals = {name: counts[name] for name in (self.done, UNCHANGED, REFUSED)}
        lines = [f"{x.target.kind.replace('_', ' ')} {x.target.name}: {x.reason or _word(x.result)}" for x in found]
        self.say({**totals, "targets": rows}, "\n".join(lines))
        if refused := [item for item in found if item.result == REFUSED]:
            text = refused[0].reason
            if len(found) > 1:
                text = say(
                    "Not done to %(refused)d of %(all)d.", code="partly_done", refused=len(refused), all=len(found)
                )
            raise Refused(text, code="refused" if len(refused) == len(found) else "partly_done")


def order_worker(supervisor: str, order: WorkerOrder.Order, user: Any) -> bool:
    """Order a supervisor's workers, unless that is what they were ordered last; return whether it was not.

    Raises Refused where it has left, and PermissionDenied.
    """
    switches.refuse_other_orders(user)
    if switches.is_last_order(supervisor, order):
        return False
    if switches.give_order(supervisor, order, user) is None:
        raise Refused(say("It has left.", code="left"), code="over")
    return True


def _switched(target: Target, done: str) -> Switched:
    try:
        return Switched(target, done if target.switch() else UNCHANGED)
    except (JobsError, Refused) as error:
        return Switched(target, REFUSED, said(error))


def _word(result: str) -> str:
    return "unchanged, it was so already" if result == UNCHANGED else result


def find_operation(number: str, user: Any) -> Operation:
    """Return the operation with this number. Raises Refused where there is none that the user may know of."""
    rows = operations_seen_by(user)
    key = key_in(number)
    found = None if key is None else rows.filter(pk=key).first()
    if found is None:
        numbers = map(str, rows.filter(state__in=["running", "paused"]).values_list("pk", flat=True)[:5])
        raise unknown("operation", number, tail=f" Open operations: {', '.join(numbers) or 'none'}.")
    return found


def _find_schedule(named: str, user: Any) -> Schedule:
    """Return the schedule with this number, or with this name: that of no organization, or else the only one."""
    rows = visible_schedules(user).order_by("organization_key", "pk")
    key = key_in(named)
    found = [] if key is None else list(rows.filter(pk=key))
    if not found and is_storable_text(named):
        found = [row for row in rows.filter(name=named)[:MAX_SAME] if row.name == named]
    if not found:
        raise unknown("schedule", named)
    if len(found) > 1 and found[0].organization_key:
        ids = current_ids({row.organization_id for row in found})
        each = ", ".join(f"{row.pk} ({ids.get(row.organization_id, 'deleted')})" for row in found)
        text = "Several organizations have a schedule %(name)r; give the number of one: %(each)s."
        raise usage(say(text, code="ambiguous", name=named, each=each))
    return found[0]


def _find_organization(name: str, user: Any) -> Any:
    if organization_model_name() != DEFAULT_ORGANIZATION_MODEL:
        text = "Your project has its own organizations: it suspends them, and the access policy's is_active tells."
        raise usage(say(text, code="own_organizations"))
    try:
        return find_organization_pk(name, user)
    except JobNotFound:
        raise unknown("organization", name) from None


def _find_supervisor(name: str, user: Any) -> str:
    workers = live_workers()
    for worker in workers:
        if name in (worker.name, worker.supervisor):
            return worker.supervisor
    known = [worker.name for worker in workers]
    raise unknown("worker", name, similar(name, known) if user is None else (), "" if known else " No worker is alive.")
