"""Draws what happens: mostly one thing after the other, and often two at once to the same job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from django_jobs.statuses import RETRYABLE_BY_HAND, TERMINAL, WAITING, Priority, RunAfter, Status
from lab.faults.model import commands, duties
from lab.faults.model.commands import Command, running
from lab.faults.model.driver import Driver
from lab.faults.model.engine import KINDS, ORGANIZATIONS, OUTCOMES, WORKERS, Row
from lab.faults.model.job import ModelJob
from lab.faults.model.submissions import Replay, Submit, SubmitMany
from lab.faults.model.table import LEASE

INDEX: Final = st.integers(0, 50)
HOW: Final = st.sampled_from(sorted(OUTCOMES))
WORKER: Final = st.sampled_from(WORKERS)
SUBMISSIONS: Final = st.builds(
    Submit,
    kind=st.sampled_from(sorted(KINDS)),
    organization=st.sampled_from(ORGANIZATIONS),
    number=st.integers(0, 2),
    priority=st.sampled_from([int(priority) for priority in Priority]),
    run_at=st.sampled_from([None, None, None, 100]),
    expires_at=st.sampled_from([None, None, None, 150, 500]),
    max_retries=st.integers(0, 2),
    unique_key=st.sampled_from([None, None, "key"]),
    on_duplicate=st.sampled_from(["raise", "return", "replace"]),
)
#: Steps of the clock: less than any delay, past a lease or a window, past retention, and back.
STEPS: Final = st.sampled_from([50, 100, 400, 2_000, 31 * 24 * 3600, -100])
DUTIES: Final = (duties.Rescue, duties.Expire, duties.FollowUp, duties.LoseTickets, duties.Prune)


class Machine(RuleBasedStateMachine):
    """Each rule looks for a job to which its verb means something, and does nothing where there is none.

    What is drawn depends on nothing that happened, since two things at once may end one way or the other: hypothesis
    must find the same choices when it plays a run again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver()
        self.do, self.do_both = self.driver.do, self.driver.do_both

    def teardown(self) -> None:
        self.driver.engine.close()

    def jobs(self, statuses: Collection[str] = frozenset(Status)) -> list[ModelJob]:
        """The jobs in one of these statuses, in order."""
        jobs = self.driver.table.jobs
        return [jobs[pk] for pk in sorted(jobs) if jobs[pk].status in statuses]

    def pick(self, index: int, statuses: Collection[str]) -> Iterator[ModelJob]:
        """A job in one of these statuses if there is one, else any; now and then any; none if there are none."""
        jobs = (index % 8 and self.jobs(statuses)) or self.jobs()
        if jobs:
            yield jobs[index % len(jobs)]

    # Submissions.

    @initialize(items=st.lists(SUBMISSIONS, min_size=2, max_size=5))
    def begin(self, items: list[Submit]) -> None:
        for item in items:
            self.do(item)
        self.claim(2, WORKERS[0])

    @rule(item=SUBMISSIONS)
    def submit(self, item: Submit) -> None:
        self.do(item)

    @rule(item=SUBMISSIONS, parents=st.lists(INDEX, min_size=1, max_size=3), run_after=st.sampled_from(RunAfter.values))
    def submit_child(self, item: Submit, parents: list[int], run_after: str) -> None:
        of = [job.pk for job in self.jobs() if job.organization == item.organization]
        chosen = {of[-1 - index % len(of)] for index in parents if of}
        self.do(replace(item, parents=tuple(sorted(chosen)), run_after=run_after))

    @rule(items=st.lists(SUBMISSIONS, min_size=1, max_size=4))
    def submit_many(self, items: list[Submit]) -> None:
        given = [replace(item, on_duplicate="return" if item.number else "raise") for item in items]
        self.do(SubmitMany(tuple(given)))

    # The way of a job.

    @rule()
    def dispatch(self) -> None:
        self.do(commands.Dispatch())

    @rule(count=st.integers(1, 4), worker=WORKER)
    def claim(self, count: int, worker: str) -> None:
        if not self.jobs({Status.QUEUED}):
            self.dispatch()
        self.do(commands.Claim(tuple(job.pk for job in self.jobs({Status.QUEUED})[:count]), worker))

    @rule(index=INDEX, how=HOW)
    def run(self, index: int, how: str) -> None:
        """One that runs, or the next that may, ends its attempt."""
        if not self.jobs({Status.RUNNING}):
            self.claim(1, WORKERS[-1])
        for job in self.pick(index, {Status.RUNNING}):
            for attempt in self.driver.engine.attempts_of(job.pk)[-1:]:
                self.do(commands.Settle(attempt, how))

    @rule(index=INDEX, how=HOW)
    def report_late(self, index: int, how: str) -> None:
        """An attempt of any time reports how it ended."""
        if attempts := self.driver.engine.attempts:
            self.do(commands.Settle(attempts[index % len(attempts)], how))

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        for job in self.pick(index, WAITING | {Status.RUNNING}):
            self.do(commands.Cancel(job.pk))

    @rule(index=INDEX)
    def retry(self, index: int) -> None:
        for job in self.pick(index, RETRYABLE_BY_HAND):
            self.do(commands.Retry(job.pk))

    @rule(index=INDEX)
    def replay(self, index: int) -> None:
        seen = self.driver.seen
        dead = self.jobs({Status.DEAD_LETTER})
        if not dead:
            return
        row = seen[dead[index % len(dead)].pk]
        group = [pk for pk in sorted(seen) if _is_like(seen[pk], row)]
        self.do(Replay(row.job_type_id, row.error_fingerprint, tuple(group)))

    # Workers, duties, administrators, time.

    @rule(index=INDEX, what=st.sampled_from(["renew", "see begun", "die", "old tickets"]), has_begun=st.booleans())
    def work(self, index: int, what: str, has_begun: bool) -> None:
        job = next(self.pick(index, {Status.RUNNING}), None)
        if job is None:
            return
        worker = job.worker or WORKERS[0]
        held = [(item.pk, item.attempt) for item in running(self.driver.table, worker)]
        verbs: dict[str, Command] = {
            "renew": duties.Renew(worker),
            "see begun": duties.SeeBegun(job.pk, job.attempt),
            "die": duties.WorkerDies(worker, frozenset(held[: len(held) if has_begun else len(held) // 2])),
            "old tickets": commands.ClaimTwice(tuple(job.pk for job in self.jobs()), worker),
        }
        self.do(verbs[what])

    @rule()
    def vanish(self) -> None:
        """All that run are silent for longer than their leases."""
        self.do(duties.Clock(LEASE + 100))
        self.do(duties.Rescue())

    @rule(index=INDEX, how=HOW, is_lost_again=st.booleans())
    def lose(self, index: int, how: str, is_lost_again: bool) -> None:
        """One that runs is lost and runs again, then the lost attempt reports; perhaps the next one is lost, too."""
        for job in self.pick(index, {Status.RUNNING}):
            late = self.driver.engine.attempts_of(job.pk)[-1:]
            self.do(duties.WorkerDies(job.worker, frozenset({(job.pk, job.attempt)})))
            self.do(commands.Dispatch())
            self.do(commands.Claim((job.pk,), WORKERS[-1]))
            for attempt in late:
                self.do(commands.Settle(attempt, how))
            if is_lost_again:
                attempts = {(item.pk, item.attempt) for item in running(self.driver.table, WORKERS[-1])}
                self.do(duties.WorkerDies(WORKERS[-1], frozenset(attempts)))

    @rule(item=SUBMISSIONS, seconds=st.sampled_from([50, 400]))
    def submit_again(self, item: Submit, seconds: int) -> None:
        """The same work thrice, with time between."""
        for how in ("return", "replace", "raise"):
            self.do(replace(item, unique_key="again", run_at=100, expires_at=None, on_duplicate=how))
            self.do(duties.Clock(seconds))

    @rule(duty=st.sampled_from(DUTIES))
    def duty(self, duty: Callable[[], Command]) -> None:
        self.do(duty())

    @rule(what=st.sampled_from([*map(duties.Pause, sorted(KINDS)), *map(duties.Suspend, ORGANIZATIONS)]))
    def hold(self, what: Command) -> None:
        """Pause or suspend, see what a claim makes of it, and mostly let it go on."""
        self.do(what)
        self.claim(2, WORKERS[1])

    @rule()
    def let_go_on(self) -> None:
        table = self.driver.table
        for what in [*map(duties.Pause, sorted(table.paused)), *map(duties.Suspend, sorted(table.suspended))]:
            self.do(what)

    @rule(index=INDEX, release=st.booleans())
    def delete(self, index: int, release: bool) -> None:
        for job in self.pick(index, TERMINAL):
            self.do(duties.Delete(job.pk, release))

    @rule(seconds=STEPS)
    def move_clock(self, seconds: int) -> None:
        self.do(duties.Clock(seconds))

    # Two things at once.

    @rule(index=INDEX, first=INDEX, second=INDEX, how=HOW)
    def both_to_a_running_job(self, index: int, first: int, second: int, how: str) -> None:
        job = next(self.pick(index, {Status.RUNNING}), None)
        if job is None:
            return
        if first % 3 == 0:
            self.do(duties.Clock(LEASE + 100))
        child = Submit(kind="plain", organization=job.organization, parents=(job.pk,))
        verbs = [
            commands.Cancel(job.pk),
            *(commands.Settle(attempt, how) for attempt in self.driver.engine.attempts_of(job.pk)[-1:]),
            duties.Rescue(),
            duties.Renew(job.worker),
            duties.SeeBegun(job.pk, job.attempt),
            duties.WorkerDies(job.worker, frozenset({(job.pk, job.attempt)})),
            child,
            replace(child, run_after=RunAfter.ENDED),
        ]
        self.do_both(verbs[first % len(verbs)], verbs[second % len(verbs)])

    @rule(index=INDEX, first=INDEX, second=INDEX, item=SUBMISSIONS)
    def both_to_a_waiting_job(self, index: int, first: int, second: int, item: Submit) -> None:
        job = next(self.pick(index, WAITING), None)
        if job is None:
            return
        claims = [commands.Claim((job.pk,), worker) for worker in WORKERS[:2] if job.status == Status.QUEUED]
        verbs = [commands.Cancel(job.pk), commands.Retry(job.pk), commands.Dispatch(), duties.Expire(), *claims, item]
        self.do_both(verbs[first % len(verbs)], verbs[second % len(verbs)])

    @rule(index=INDEX, item=SUBMISSIONS, twice=st.booleans())
    def both_to_a_dead_letter(self, index: int, item: Submit, twice: bool) -> None:
        for job in self.pick(index, {Status.DEAD_LETTER}):
            again = commands.Retry(job.pk)
            child = replace(item, organization=job.organization, parents=(job.pk,))
            self.do_both(again, again if twice else child)


def _is_like(one: Row, other: Row) -> bool:
    same = (one.job_type_id, one.error_fingerprint) == (other.job_type_id, other.error_fingerprint)
    return same and one.status == Status.DEAD_LETTER
