"""What a handler gets: the facts of its job, and the methods by which it reports, saves and submits."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import secrets
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, Unpack

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.db.models import TextField
from django.db.models.functions import Cast, Length
from django.utils.text import get_valid_filename

from django_jobs.conf import output_storage
from django_jobs.engine import observers, transitions
from django_jobs.engine.execution import coroutines
from django_jobs.engine.execution.leases import is_owned
from django_jobs.engine.execution.settle import still_running
from django_jobs.engine.execution.steps import SavedWork, Step, refuse_coroutine
from django_jobs.engine.job_types import parameters
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.engine.submission.submit import submit_from_handler
from django_jobs.exceptions import InvalidStep, JobCanceled, OrganizationGone
from django_jobs.models import Job, JobDependency
from django_jobs.models.job import format_job_id, parse_job_id
from django_jobs.statuses import Status
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed
    from django_jobs.engine.submission.values import ContextFields
    from django_jobs.models import JobType
    from django_jobs.values import BatchStatus

# What a handler's context asks of whoever runs the handler.


class Runner:
    """What runs the handler: takes its progress, and knows whether it is to stop. This one lets it run to its end."""

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        """Take the progress of an attempt, without making the handler wait."""

    def is_lost(self) -> bool:
        """Return whether this attempt is known to own the job no longer, without asking the database."""
        return False

    def is_canceled(self) -> bool:
        """Return whether the job is to stop: it was canceled, or this attempt no longer owns it."""
        return self.is_lost()

    def check(self) -> None:
        """Raise the interruption that is due, if any."""
        if self.is_canceled():
            raise JobCanceled

    def remind(self) -> None:
        """Raise it, unless it was raised less than two seconds ago: the handler may be cleaning up."""
        self.check()

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block in which interruptions may be raised."""
        return contextlib.nullcontext()

    def shielded(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block inside of that in which interruptions wait."""
        return contextlib.nullcontext()


# Keeping the latest progress of running jobs, and writing it in sets, so that handlers do not wait for that.


_Progress: TypeAlias = tuple[int, str | None]


class ProgressBuffer:
    """Keeps the latest progress of each running attempt until it is written.

    Progress is written only while the attempt owns its job in ``worker_name``.
    """

    def __init__(self, worker_name: str) -> None:
        self._worker_name = worker_name
        self._latest: dict[AttemptKey, _Progress] = {}
        #: What is being written, and so may be too late for an attempt that ends at this moment.
        self._writing: dict[AttemptKey, _Progress] = {}
        self._lock = threading.Lock()

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        """Take the progress of an attempt in percent; a message of None keeps the last one."""
        # The assignment is atomic. Between read and assignment, at most an older message can get lost.
        known = self._latest.get(key)
        self._latest[key] = (percent, known[1] if message is None and known else message)

    def drop(self, key: AttemptKey) -> _Progress | None:
        """Forget an attempt that has ended, and return its progress that may not be written, or None."""
        latest, writing = self._latest.pop(key, None), self._writing.get(key)
        if latest is None or writing is None or latest[1] is not None:
            return latest or writing
        return latest[0], writing[1]

    def flush(self) -> set[AttemptKey]:
        """Write what is new and return the attempts that no longer own their job."""
        with self._lock:
            self._writing = latest = self._latest
            self._latest = {}
            left = latest
            try:
                found = {key: write(key, *value, self._worker_name) for key, value in latest.items()}
                written = {key: organization for key, organization in found.items() if organization is not None}
                left = {key: latest[key] for key in still_running(latest.keys() - written, self._worker_name)}
            finally:
                for key, value in left.items():  # written the next time, unless something newer was reported
                    self._latest.setdefault(key, value)
                self._writing = {}
        # This is done without the lock, since receivers may take long.
        transitions.hooks.announcer.progressed({pk: organization for (pk, _), organization in written.items()})
        return latest.keys() - written - left.keys()


def write(key: AttemptKey, percent: int, message: str | None, worker_name: str) -> Any:
    """Write one attempt's progress and return its organization's key.

    Return None when the attempt no longer owns the job, or its row is in use.
    """
    values: dict[str, object] = {"progress": percent}
    if message is not None:
        values["progress_message"] = message
    rows = Job.primary.filter(pk=key[0], attempt=key[1], status=Status.RUNNING, worker_name=worker_name)

    def store() -> Any:
        organization = database.locked(rows, skip=True).values_list("organization_id", flat=True).first()
        if organization is not None:
            rows.update(**values)
        return organization

    return database.in_transaction(store)


# Files that handlers save: in a folder for each tenant and job, under names that nobody can guess.


ROOT = "django_jobs"
#: Bytes of UTF-8. File systems take 255, of which a storage may need some to make a name unique.
MAX_NAME_BYTES = 200
#: Characters of an ``output_reference``.
MAX_REFERENCE = 1_000


def output_folder(organization_pk: object, job_id: str) -> str:
    """Return the folder that holds a job's files."""
    return f"{ROOT}/{organization_pk}/{job_id}"


def safe_basename(filename: str) -> str:
    """Return the last part of a file name, in characters that every storage takes; of a long one the end."""
    name = PurePosixPath(str(filename).replace("\\", "/")).name
    end = name.encode(errors="replace")[-MAX_NAME_BYTES:].decode(errors="ignore")
    try:
        return str(get_valid_filename(re.sub(r"^\.+", "", end)))
    except SuspiciousFileOperation:  # nothing is left of it
        return "output"


def save_output(organization_pk: object, job_id: str, filename: str, content: bytes | str | IO[bytes]) -> str:
    """Store the content and return its reference, a name in the output storage."""
    path = f"{output_folder(organization_pk, job_id)}/{secrets.token_urlsafe(16)}/{safe_basename(filename)}"
    if isinstance(content, str):
        content = content.encode()
    file = ContentFile(content) if isinstance(content, bytes) else File(content)
    return str(output_storage().save(path, file))


def output_belongs_to(reference: str, organization_pk: object, job_id: str) -> bool:
    """Return whether ``save`` made this reference for this job; any other reference is only text."""
    prefix = output_folder(organization_pk, job_id) + "/"
    rest = reference[len(prefix) :]
    return reference.startswith(prefix) and bool(re.fullmatch(r"[A-Za-z0-9_-]{22}/[^/\\]+", rest))


def _listed(path: str) -> tuple[list[str], list[str]] | None:
    """Return the names of the folders and of the files in a folder; None where there is none."""
    try:
        folders, files = output_storage().listdir(path)
        return list(folders), list(files)
    except (FileNotFoundError, NotADirectoryError):
        return None


def jobs_with_files(organization_pk: object) -> list[str]:
    """Return the ids of the tenant's jobs that have a folder."""
    return (_listed(f"{ROOT}/{organization_pk}") or ([], []))[0]


def count_files(organization_pk: object, job_id: str) -> int:
    """Return how many files a job has; each lies in a folder of its own."""
    return len((_listed(output_folder(organization_pk, job_id)) or ([],))[0])


def delete_outputs(organization_pk: object, job_id: str) -> int:
    """Delete the files of a job and return how many there were."""
    storage, folder, count = output_storage(), output_folder(organization_pk, job_id), 0
    listed = _listed(folder)
    if listed is None:
        return 0
    for path in [f"{folder}/{token}" for token in listed[0]]:
        for name in (_listed(path) or ([], []))[1]:
            storage.delete(f"{path}/{name}")
            count += 1
        storage.delete(path)
    storage.delete(folder)
    return count


# Reading the results of a job's parents for its handler: small ones at once, references in the place of others.


#: Characters of JSON that a handler gets at once, over all parents.
MAX_CHARACTERS: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class ResultReference:
    """Stands for the result of a parent that does not fit beside the others."""

    job_id: str

    def load(self) -> Any:
        """Return this one result, read now; None when the job is gone. Works in async handlers too."""
        parsed = parse_job_id(self.job_id)
        return None if parsed is None else coroutines.outside_loop(lambda: _results([parsed[0]]).get(parsed[0]))


def read_parent_results(child: int) -> dict[str, Any]:
    """Return the result of each parent by its job id, in the order of their submission.

    None stands for a parent that did not complete, or returned nothing. Results are taken in that order while they
    come to MAX_CHARACTERS at most; each that does not fit is a ResultReference.
    """
    links = JobDependency.primary.filter(child_id=child).order_by("parent_id")
    size = Length(Cast("parent__result", TextField()))
    rows = links.values_list("parent_id", "parent__created_at", "parent__status", size)
    found: dict[str, Any] = {}
    wanted: dict[int, str] = {}
    total = 0
    for pk, created_at, status, characters in rows:
        name = format_job_id(pk, created_at.year)
        found[name] = None
        if status != Status.COMPLETED or characters is None:
            continue
        if total + characters > MAX_CHARACTERS:
            found[name] = ResultReference(name)
            continue
        total += characters
        wanted[pk] = name
    results = _results(list(wanted))
    return found | {name: results.get(pk) for pk, name in wanted.items()}


def _results(pks: list[int]) -> dict[int, Any]:
    if not pks:
        return {}
    return dict(Job.primary.filter(pk__in=pks).order_by().values_list("pk", "result"))


# What steps and checkpoints of a handler ask of threads and tasks.


T = TypeVar("T")


class _MustBeAwaited(Exception):
    """A plain function returned something to be awaited."""


def _in_thread(function: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    return sync_to_async(function, thread_sensitive=True)


async def _to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns. Whoever cancels this waits for its end: what it stores has happened."""
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # else the loop reports that nobody asked for it
        raise


# What a handler gets: the facts of its job, and the methods by which it reports, saves and submits.


#: Submits a job of this type, with these parameters and keywords, from a handler.
#: Characters of a progress message.
MAX_MESSAGE: Final = 255


class JobContext:
    """One attempt of a job, for its handler.

    ``parameters`` is what was submitted, as stored JSON; ``metadata`` likewise; ``job_id`` such as
    ``JOB-2026-00001``; ``organization_pk`` the tenant's key, by which a handler finds the tenant's rows;
    ``organization`` the id that the tenant had when this attempt was claimed, for texts; ``attempt`` counts from 1, and
    with the job id makes an idempotency key, since a job may run again after its worker died; ``timeout_seconds`` is
    the attempt's limit.
    """

    def __init__(self, claimed: Claimed, runner: Runner, work: SavedWork | None = None) -> None:
        """Without ``work``, steps and checkpoint are rows. To be made in the thread in which the handler begins."""
        self._work = work or SavedWork(claimed, has_earlier=claimed.attempt > 1)
        self.job_id = claimed.job_id
        self.job_type = claimed.job_type
        self.organization = claimed.organization
        self.parameters = claimed.parameters
        self.metadata = observers.seen_by_handlers(claimed.metadata)
        self.attempt = claimed.attempt
        self.timeout_seconds = claimed.timeout_seconds
        self.organization_pk = claimed.organization_pk
        self._claimed = claimed
        self._runner = runner
        self._has_ended = False
        #: Whether the handler began to save a file.
        self.has_saved = False

    @cached_property
    def validated_data(self) -> Any:
        """Return what the type's ``parameters`` serializer makes of the parameters; without one, the parameters.

        Raises PermanentError when they are not valid, as after a deployment that asks for more. A serializer that
        reads the database does so here: from async code, ask for it in ``sync_to_async``.
        """
        return parameters.validated_data(self.job_type, self.parameters)

    def get_organization(self) -> Any:
        """Return the tenant's row as it is now, read by its key from the database that holds the jobs.

        Raises OrganizationGone when the tenant was deleted; that ends the job without a retry. In an async handler the
        event loop waits for the read.
        """
        from django_jobs.engine.organizations import (
            read_tenants,  # a host imports this class before apps are ready
        )

        tenant = self._read(lambda: next(iter(read_tenants([self.organization_pk]).values()), None))
        if tenant is None:
            raise OrganizationGone(self.organization, self.organization_pk)
        return tenant

    @cached_property
    def parents(self) -> dict[str, Any]:
        """Return the result of each job that this one depends on, by its job id, in the order of their submission.

        Read when first asked for. None stands for a parent that did not complete, or returned nothing; a parent that
        was deleted is missing. Results of up to 1 MB in all are here; in the place of each that does not fit is a
        ``ResultReference``, whose ``load()`` reads that one. In an async handler the event loop waits for the read.
        """
        return self._read(lambda: read_parent_results(self._claimed.pk))

    @cached_property
    def batch_id(self) -> str | None:
        """Return the id of the batch that this job counts for; None where it counts for none.

        Read when first asked for. In an async handler the event loop waits for the read.
        """
        from django_jobs.engine import batches  # a host imports this class before the apps are ready

        return self._read(lambda: batches.batch_id_of(self._claimed.pk))

    @property
    def batch(self) -> BatchStatus | None:
        """Return the status of the batch that this job counts for, or that submitted it at its end; None without one.

        Read each time. In an async handler the event loop waits for the read.
        """
        from django_jobs.engine import batches  # a host imports this class before the apps are ready

        return self._read(lambda: batches.batch_of(self._claimed.pk))

    def _read(self, read: Callable[[], T]) -> T:
        self._refuse_late()
        with self._runner.shielded():
            return coroutines.outside_loop(read)

    def still_owned(self) -> bool:
        """Ask the database, by one statement, whether this attempt still owns the job by a lease that lasts.

        Ask it before an effect that must not happen twice: a worker that was frozen or cut off may go on with an
        attempt whose job runs elsewhere by now. Ask outside transactions: one with repeatable reads would answer as of
        its beginning. Raises Django's database Error where the database gives no answer: nobody can say yes then. In an
        async handler the event loop waits for the answer; :meth:`astill_owned` lets it go on.
        """
        if self._has_ended:
            return False
        with self._runner.shielded():
            if self._runner.is_lost():
                return False
            claimed = self._claimed
            return coroutines.outside_loop(lambda: is_owned(claimed.pk, claimed.attempt, claimed.worker_name))

    async def astill_owned(self) -> bool:
        """:meth:`still_owned` for async handlers."""
        return await sync_to_async(self.still_owned, thread_sensitive=True)()

    def update_progress(self, percent: float, message: str | None = None) -> None:
        """Report progress (0 to 100) and what is being done. Cheap: call it as often as you like.

        Raises JobCanceled when the job is to stop.
        """
        self._refuse_late()
        value = min(100, max(0, int(percent)))
        self._runner.report(self._claimed.key, value, None if message is None else clean_text(message, MAX_MESSAGE))
        self._runner.check()

    def is_canceled(self) -> bool:
        """Return whether the job is to stop; for handlers that want to end in their own way."""
        return self._has_ended or self._runner.is_canceled()

    def shielded(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block for whose end cancellation and timeout wait, within the grace."""
        return self._runner.shielded()

    def save_output(self, filename: str, content: bytes | str | IO[bytes]) -> str:
        """Store a file for the job's organization and return its reference.

        Return that as ``output_reference`` to make it the job's output.
        """
        # Noted first: a thread that the handler leaves behind either is refused, or is known of when the attempt ends.
        self.has_saved = True
        self._refuse_late()
        with self._runner.shielded():
            return save_output(self.organization_pk, self.job_id, filename, content)

    def submit_job(
        self, job_type: str | JobType, parameters: Mapping[str, Any] | None = None, **keywords: Unpack[ContextFields]
    ) -> Job:
        """Submit a job for this job's organization and in the name of its owner; return it.

        The keywords are those of :func:`django_jobs.submit_job`; ``user`` takes the place of the owner, and
        ``user=None`` submits without one. Handler code may submit what ``submit_by`` closes to users, in its owner's
        name too; the owner's other rights are checked. A later attempt that submits the same work gets the job that
        the earlier one submitted, whatever the window. Raises what ``submit_job`` raises.
        """
        self._refuse_late()
        return self._submit(job_type, parameters, keywords)

    def _submit(self, job_type: Any, parameters: Any, keywords: Mapping[str, Any]) -> Job:
        return submit_from_handler(self._claimed, job_type, parameters, keywords)

    async def asubmit_job(
        self, job_type: str | JobType, parameters: Mapping[str, Any] | None = None, **keywords: Unpack[ContextFields]
    ) -> Job:
        """:meth:`submit_job` for async handlers."""
        return await sync_to_async(self.submit_job, thread_sensitive=True)(job_type, parameters, **keywords)

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function(*args, **kwargs)`` once for the job, and return its result as stored JSON (up to 64 kB).

        The result is committed before this returns; a later attempt gets it without a call. A step that raises is not
        stored. A step is known by its name, its place among equal names and its arguments as they are at the call.
        StepOrderChanged is raised where an earlier attempt had others. Raises InvalidStep for what cannot be a step,
        and JobCanceled when the job is to stop. The function may be called again where its process dies before its
        result is committed.
        """
        self._refuse_late()
        if coroutines.in_event_loop():
            text = "Step %(step)r would hold up the event loop. Call it by: await context.astep(…)."
            raise InvalidStep(say(text, code="in_event_loop", step=name))
        with self._work.in_one_thread(name):
            with self._runner.shielded():
                step = self._work.take(name, function, args, kwargs)
            with self._work.under_way(step):
                refuse_coroutine(step, function)
                return self._do(step, refuse_coroutine)

    def astep(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """:meth:`step` for async handlers: ``await`` it.

        A coroutine function is awaited; any other is called in the handler's thread for synchronous code. The place of
        the step is that of this call, whatever is awaited first. In tasks of their own (``asyncio.gather``) steps come
        in any order. There they are known by name and arguments alone; InvalidStep is raised where two have the same.
        """
        self._refuse_late()
        with self._runner.shielded():
            step = self._work.take(name, function, args, kwargs)
        step.coroutine = self._ado(step)
        return step.coroutine

    def _do(self, step: Step, check: Callable[[Step, Any], None]) -> Any:
        """Return the result that is stored, else do the step in this thread."""
        if self._look_up(step):
            return step.result
        with self._work.running(step):
            value = step.call.function(*step.call.args, **step.call.kwargs)
        check(step, value)
        with self._runner.shielded():
            return self._work.store(step, value)

    def _look_up(self, step: Step) -> bool:
        with self._runner.shielded():
            is_done = self._work.look_up(step)
        if not is_done:
            self._runner.check()  # before the effect of the next step
        return is_done

    async def _ado(self, step: Step) -> Any:
        with self._work.under_way(step):
            if inspect.iscoroutinefunction(step.call.function):
                if await _in_thread(self._look_up)(step):
                    return step.result
                return await self._await(step, step.call.function(*step.call.args, **step.call.kwargs))
            waiting: list[Awaitable[Any]] = []

            def check(_: Step, value: Any) -> None:
                if inspect.isawaitable(value):
                    waiting.append(value)
                    raise _MustBeAwaited

            try:
                return await _in_thread(self._do)(step, check)
            except _MustBeAwaited:
                return await self._await(step, waiting[0])

    async def _await(self, step: Step, awaitable: Awaitable[Any]) -> Any:
        with self._work.running(step):
            value = await awaitable
        with self._runner.shielded():
            return await _to_its_end(_in_thread(self._work.store)(step, value))

    @property
    def checkpoint(self) -> Any:
        """Return a dict that the next attempt finds as it was last saved; at first it is empty.

        It may hold up to 64 kB of JSON. Read when first asked for; in an async handler the event loop waits for that.
        It is saved by :meth:`save_checkpoint`, and where it changed when the worker requeues the job or the handler
        raised RetryLater.
        """
        self._refuse_late()
        if not self._work.is_checkpoint_read:
            with self._runner.shielded():
                coroutines.outside_loop(self._work.read_checkpoint)
        return self._work.checkpoint

    @checkpoint.setter
    def checkpoint(self, value: dict[str, Any]) -> None:
        self._work.replace_checkpoint(value)

    def save_checkpoint(self) -> None:
        """Save ``checkpoint`` for the next attempt; it is committed when this returns.

        Raises InvalidStep where it is no dict of JSON any more, too large, or cannot be committed at once, and
        JobCanceled when the job is to stop.
        """
        self._refuse_late()
        if coroutines.in_event_loop():
            text = "This would hold up the event loop. Call it by: await context.asave_checkpoint()."
            raise InvalidStep(say(text, code="in_event_loop"))
        with self._runner.shielded():
            self._work.save_checkpoint()

    async def asave_checkpoint(self) -> None:
        """:meth:`save_checkpoint` for async handlers."""
        self._refuse_late()
        # As it is now: the handler may change it while another thread writes.
        text = self._work.checkpoint_text() if self._work.is_checkpoint_read else None
        with self._runner.shielded():
            await _to_its_end(_in_thread(self._work.save_checkpoint)(text))

    def unsaved_checkpoint(self) -> str | None:
        """Return JSON of the checkpoint if it changed since it was saved; for the engine."""
        return self._work.unsaved_checkpoint(self.job_id)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Return a ``with`` block in which the handler may be interrupted; for the engine."""
        try:
            with self._runner.interruptible():
                yield
        finally:
            self._has_ended = True

    def remind(self) -> None:
        """Raise the interruption that is due, if any, unless it was raised just now; for the engine."""
        self._runner.remind()

    def _refuse_late(self) -> None:
        """Stop an attempt that lost its job, and a thread that the handler left behind: its attempt has ended."""
        if self._has_ended:
            raise JobCanceled
        if self._runner.is_lost():
            self._runner.check()
