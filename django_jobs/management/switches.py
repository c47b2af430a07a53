"""What ``jobs_pause`` and ``jobs_resume`` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, NamedTuple

from django.core.management.base import CommandParser

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, organization_model_name
from django_jobs.engine.access import key_in
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.scope import Scope
from django_jobs.exceptions import JobNotFound, JobsError
from django_jobs.management.shell import (
    Refused,
    ShellCommand,
    acting_user,
    add_user,
    confirm,
    find_types,
    unknown,
    usage,
)
from django_jobs.models import JobType, Operation
from django_jobs.texts import said, say

# What ``jobs_pause`` and ``jobs_resume`` switch: finding each by its name, and what both commands share.


UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"
#: Schedules of one name that are told.
MAX_SAME: Final = 10


class Switchable(NamedTuple):
    """What is to be switched: its kind, its name, and what the engine takes for it."""

    kind: str
    name: str
    value: Any


class SwitchCommand(ShellCommand):
    """A command that pauses or resumes. All names are looked up before anything is switched."""

    #: Whether it pauses; else it resumes.
    pauses: ClassVar[bool]

    @property
    def done(self) -> str:
        """Return what a target is called once it is switched."""
        return "paused" if self.pauses else "resumed"

    def add_arguments(self, parser: CommandParser) -> None:
        verb = "Pause" if self.pauses else "Resume"
        parser.add_argument("types", nargs="*", metavar="TYPE", help=f"{verb} these job types.")
        parser.add_argument("--all", action="store_true", help=f"{verb} all job types.")
        parser.add_argument("--yes", action="store_true", help="Do not ask before --all and --organization.")
        for name, metavar, what in (
            ("schedule", "NAME|N", "the schedule with this name, or, where several organizations have it, this number"),
            ("operation", "N", "the operation with this number"),
            ("organization", "ID", "this organization, of the built-in model: while it is paused nothing of it starts"),
            ("worker", "NAME", "taking new jobs, in all workers of the machine's process that has this worker"),
        ):
            text = f"{verb} {what}; may be repeated."
            parser.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=text)
        if not self.pauses:
            text = "Close the breaker of this job type now, so that its jobs start; may be repeated."
            parser.add_argument("--breaker", action="append", default=[], metavar="TYPE", help=text)
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = acting_user(options["user"])
        targets = list({(item.kind, item.name): item for item in self.targets(options, user)}.values())
        if not targets:
            raise self._nothing(options)
        self._ask(options, targets)
        self._tell([self._switch(item, user) for item in targets])

    def targets(self, options: dict[str, Any], user: Any) -> Iterator[Switchable]:
        """Yield what the options name. Raises Refused for a name that is not there."""
        for kind in (*find_types(options["types"], user), *(JobType.primary.order_by("pk") if options["all"] else ())):
            yield Switchable("job_type", kind.pk, kind)
        for option, find in FINDERS.items():
            for name in options[option]:
                yield find(name, user)
        for kind in find_types(options.get("breaker", ()), user):
            yield Switchable("breaker", kind.pk, kind)

    def _switch(self, target: Switchable, user: Any) -> dict[str, str]:
        """Switch it, and return what became of it; ``reason`` is empty unless it was refused."""
        found = {"kind": target.kind, "name": target.name}
        try:
            is_done = set_paused(target.kind, target.value, self.pauses, user=user)
        except JobsError as error:
            return {**found, "result": REFUSED, "reason": said(error)}
        return {**found, "result": self.done if is_done else UNCHANGED, "reason": ""}

    def _nothing(self, options: dict[str, Any]) -> Refused:
        if options["all"]:
            return Refused(say("There is no job type.", code="nothing_matches"), code="nothing_matches")
        choices = ["--all", *(f"--{name}" for name in FINDERS), *([] if self.pauses else ["--breaker"])]
        text = "Say what is to be %(done)s: job types, or %(choices)s."
        return usage(say(text, code="names_nothing", done=self.done, choices=", ".join(choices)))

    def _ask(self, options: dict[str, Any], targets: list[Switchable]) -> None:
        if not (options["all"] or options["organization"]):
            return
        counts = Counter(item.kind.replace("_", " ") for item in targets)
        what = " and ".join(f"{count:,} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())
        confirm(self, f"{what} would be {self.done}", is_agreed=options["yes"])

    def _tell(self, found: list[dict[str, str]]) -> None:
        counts = Counter(row["result"] for row in found)
        totals = {name: counts[name] for name in (self.done, UNCHANGED, REFUSED)}
        lines = [f"{row['kind'].replace('_', ' ')} {row['name']}: {row['reason'] or row['result']}" for row in found]
        self.say({**totals, "targets": found}, "\n".join(lines))
        if refused := [row["reason"] for row in found if row["result"] == REFUSED]:
            text = refused[0]
            if len(found) > 1:
                text = say(
                    "Not done to %(refused)d of %(all)d.", code="partly_done", refused=len(refused), all=len(found)
                )
            raise Refused(text, code="refused" if len(refused) == len(found) else "partly_done")


def find_operation(number: str, user: Any) -> Operation:
    """Return the operation with this number. Raises Refused where there is none that the user may know of."""
    key = key_in(number)
    found = None if key is None else Scope(user).operations().filter(pk=key).first()
    if found is None:
        raise unknown("operation", number)
    return found


def _schedule(named: str, user: Any) -> Switchable:
    """Return the schedule with this number, or with this name: that of no organization, or else the only one."""
    rows = Scope(user).schedules().order_by("organization_key", "pk")
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
    return Switchable("schedule", str(found[0]), found[0])


def _operation(number: str, user: Any) -> Switchable:
    operation = find_operation(number, user)
    return Switchable("operation", str(operation.pk), operation)


def _organization(name: str, user: Any) -> Switchable:
    if organization_model_name() != DEFAULT_ORGANIZATION_MODEL:
        text = "Your project has its own organizations: it suspends them, and the access policy's is_active tells."
        raise usage(say(text, code="own_organizations"))
    try:
        return Switchable("organization", name, Scope(user).organization(name))
    except JobNotFound:
        raise unknown("organization", name) from None


def _worker(name: str, _user: Any) -> Switchable:
    for worker in live_workers():
        if name in (worker.name, worker.supervisor):
            return Switchable("worker", name, worker.supervisor)
    raise unknown("worker", name)


#: By option: what finds the target that it names. Raises Refused for a name that is not there.
FINDERS: Final[dict[str, Callable[[str, Any], Switchable]]] = {
    "schedule": _schedule,
    "operation": _operation,
    "organization": _organization,
    "worker": _worker,
}
