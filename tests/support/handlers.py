"""What the jobs of tests do. Besides the apps' own modules, tests.settings allow handlers here and in lab.faults.

Longer than a file should be, since job types name their handlers by the path of this one module.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, transaction

from django_jobs import submit_job
from django_jobs.exceptions import PermanentError, RetryLater, TransientError
from django_jobs.models import Organization

if TYPE_CHECKING:
    from django_jobs import JobContext
    from django_jobs.values import JobStatus

logger = logging.getLogger(__name__)


def do_nothing(context: JobContext) -> None:
    """Completes at once."""


def echo(context: JobContext) -> dict[str, Any]:
    """Returns its parameters."""
    return {"echo": context.parameters}


def take_seconds(context: JobContext) -> None:
    """Takes as many ``seconds`` as it is told."""
    time.sleep(context.parameters["seconds"])


def save_text(context: JobContext) -> dict[str, Any]:
    """Saves ``text`` as a file and returns its reference."""
    return {"output_reference": context.save_output("text.txt", str(context.parameters["text"]))}


def report_progress(context: JobContext) -> None:
    """Says 0, 50 and 100 per cent."""
    for percent in (0, 50, 100):
        context.update_progress(percent, f"at {percent}")


def write_to_log(context: JobContext) -> None:
    """Writes ``lines`` lines that name the job, and may then fail."""
    for number in range(context.parameters["lines"]):
        logger.warning("%s says %s", context.job_id, number)
        time.sleep(0.002)  # neighbors write meanwhile
    if context.parameters.get("fails"):
        raise PermanentError("it failed")


async def write_to_log_async(context: JobContext) -> None:
    """The same from a coroutine, every other line from the thread of its synchronous calls."""
    for number in range(context.parameters["lines"]):
        if number % 2:
            await sync_to_async(logger.warning)("%s says %s", context.job_id, number)
        else:
            logger.warning("%s says %s", context.job_id, number)
        await asyncio.sleep(0.002)


def fail_for_now(context: JobContext) -> None:
    raise TransientError("try again")


def fail_for_good(context: JobContext) -> None:
    raise PermanentError("never again")


def fail_unexpectedly(context: JobContext) -> None:
    raise ZeroDivisionError("secret text")


def refer(context: JobContext) -> dict[str, Any]:
    """Returns a reference of so many characters as ``length`` says."""
    return {"output_reference": "r" * context.parameters["length"]}


def quote_the_password(context: JobContext) -> None:
    """Fails with its password in the text, in the way that ``kind`` names, ``before`` and ``behind`` other words."""
    before, behind = (context.parameters.get(name, "") for name in ("before", "behind"))
    text = f"{before}the password {context.parameters.pop('password')} was refused{behind}"
    kinds = {"permanent": PermanentError(text), "later": RetryLater(60, text), "unknown": ValueError(text)}
    raise kinds[context.parameters["kind"]]


def fail_until_attempt(context: JobContext) -> dict[str, Any]:
    """Fails transiently until the attempt whose number ``succeeds_at`` gives."""
    if context.attempt < context.parameters["succeeds_at"]:
        raise TransientError(f"attempt {context.attempt}")
    return {"attempt": context.attempt}


def return_a_set(context: JobContext) -> Any:
    """Breaks the contract: a set is no JSON."""
    return {"numbers": {1, 2}}


def wait_with_checkpoints(context: JobContext) -> None:
    """Runs until it is canceled, looking at every checkpoint."""
    pause = threading.Event()
    while True:
        context.update_progress(50, "waiting")
        pause.wait(0.02)


def wait_without_checkpoints(context: JobContext) -> None:
    """Says that it started, then runs for a minute without ever calling the context."""
    context.update_progress(1, "waiting")
    threading.Event().wait(60)


def wait_for_file(context: JobContext) -> None:
    """Says that it started, then runs until the file ``path`` exists: how a test decides when a job ends."""
    context.update_progress(1, "waiting")
    pause = threading.Event()
    while not os.path.exists(context.parameters["path"]):  # noqa: PTH110  (parameters are text)
        pause.wait(0.01)


def kill_own_process(context: JobContext) -> None:
    """A poison job: takes its worker process with it."""
    os.kill(os.getpid(), signal.SIGKILL)


def gather(context: JobContext) -> dict[str, Any]:
    """Returns what its parents returned, and whether it still owns its job."""
    return {"parents": context.parents, "still_owned": context.still_owned()}


async def gather_async(context: JobContext) -> dict[str, Any]:
    """The same from a coroutine."""
    return gather(context)


async def echo_async(context: JobContext) -> dict[str, Any]:
    """Returns its parameters, from a coroutine."""
    return {"echo": context.parameters}


def note(path: str, *words: object) -> None:
    """Append one line to a file, in one write, so that lines of several processes do not mix."""
    with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123  (parameters are text)
        file.write(" ".join(map(str, words)) + "\n")


def wait_to_be_let_go(path: str, attempt: int) -> None:
    """Wait until the file exists, or that of this attempt.

    A function of its own: in threads, Python may raise an interruption where the loop jumps back, and from 3.12 on that
    would pass by the block of a handler that has the loop in it.
    """
    pause = threading.Event()
    while not (os.path.exists(path) or os.path.exists(f"{path}.{attempt}")):  # noqa: PTH110
        pause.wait(0.01)


def record_and_wait(context: JobContext) -> dict[str, Any]:
    """Notes in the file ``log`` when an attempt starts and ends, and waits for the file ``path``, without checkpoints.

    Each line is ``start``, ``end`` or ``stopped``, the attempt and the process. Attempt n goes on when the file
    ``path`` or ``path`` + ``.n`` exists.
    """
    log, path = context.parameters["log"], context.parameters["path"]
    try:
        # In here, because whoever reads it may freeze this process at once, so that an interruption comes next.
        note(log, "start", context.attempt, os.getpid())
        wait_to_be_let_go(path, context.attempt)
        # In here, because an interruption may come at the very end too.
        note(log, "end", context.attempt, os.getpid())
    except BaseException:
        note(log, "stopped", context.attempt, os.getpid())
        raise
    return {"attempt": context.attempt}


async def record_and_wait_async(context: JobContext) -> dict[str, Any]:
    """The same from a coroutine."""
    log, path = context.parameters["log"], context.parameters["path"]
    try:
        note(log, "start", context.attempt, os.getpid())
        while not (os.path.exists(path) or os.path.exists(f"{path}.{context.attempt}")):  # noqa: ASYNC110, ASYNC240, PTH110
            await asyncio.sleep(0.01)
        note(log, "end", context.attempt, os.getpid())
    except BaseException:
        note(log, "stopped", context.attempt, os.getpid())
        raise
    return {"attempt": context.attempt}


def take_steps(context: JobContext) -> dict[str, Any]:
    """Charges, books and mails in steps, each a line in the file ``log``; between the first two it waits like above.

    Its checkpoint says which attempt charged. With ``shield`` nothing interrupts it from the wait on.
    """
    log, path = context.parameters["log"], context.parameters["path"]
    shield = context.shielded() if context.parameters.get("shield") else contextlib.nullcontext()

    def do(what: str) -> str:
        note(log, what, context.attempt, os.getpid())
        return what

    do("start")
    try:
        context.step("charge", do, "charge")
        context.checkpoint.setdefault("charged_by", context.attempt)
        do("wait")
        with shield:
            wait_to_be_let_go(path, context.attempt)
            context.step("book", do, "book")
        context.step("mail", do, "mail")
    except BaseException:
        do("stopped")
        raise
    return {"attempt": context.attempt, **context.checkpoint}


async def take_steps_async(context: JobContext) -> dict[str, Any]:
    """The same from a coroutine."""
    log, path = context.parameters["log"], context.parameters["path"]
    shield = context.shielded() if context.parameters.get("shield") else contextlib.nullcontext()

    async def do(what: str) -> str:
        note(log, what, context.attempt, os.getpid())
        return what

    await do("start")
    try:
        await context.astep("charge", do, "charge")
        context.checkpoint.setdefault("charged_by", context.attempt)
        await do("wait")
        with shield:
            while not (os.path.exists(path) or os.path.exists(f"{path}.{context.attempt}")):  # noqa: ASYNC110, ASYNC240, PTH110
                await asyncio.sleep(0.01)
            await context.astep("book", do, "book")
        await context.astep("mail", do, "mail")
    except BaseException:
        await do("stopped")
        raise
    return {"attempt": context.attempt, **context.checkpoint}


def die_if_asked(context: JobContext) -> None:
    """With ``die`` a poison job, else a harmless one of the same type."""
    if context.parameters.get("die"):
        kill_own_process(context)


def swallow_everything(context: JobContext) -> None:
    """Ignores whatever is raised to stop it."""
    context.update_progress(1, "waiting")
    while True:
        try:
            threading.Event().wait(60)
        except BaseException:  # noqa: BLE001
            continue


def return_what_was_asked_for(context: JobContext) -> Any:
    """A result that cannot be stored, by the name ``result``; a good one without."""
    kinds: dict[str | None, Any] = {
        None: {"text": "good"},
        "set": {"numbers": {1, 2}},
        "nul": {"text": "a\x00b"},
        "surrogate": {"text": "\ud800"},
        "huge": {"text": "x" * 2_000_000},
    }
    return kinds[context.parameters.get("result")]


def foreign_work(path: str) -> None:
    """No handler: what a host's own RQ job does."""
    note(path, "foreign work was done")


def execute_my_job(context: JobContext) -> dict[str, Any]:
    """The quickstart's custom handler."""
    params = context.parameters
    context.update_progress(10, "Starting processing...")
    try:
        result = process_data(params.get("input_data"))
        context.update_progress(50, "Processing complete, saving...")
        output_path = save_result(result)
        context.update_progress(100, "Done!")
        return {"output_reference": output_path}
    except ConnectionError as error:
        raise TransientError(f"Connection failed: {error}") from error
    except ValueError as error:
        raise PermanentError(f"Invalid input: {error}") from error


def process_data(data: Any) -> str:
    """Stands in for the quickstart's work."""
    if data == "unreachable":
        raise ConnectionError("nobody answers")
    if data == "nonsense":
        raise ValueError("this makes no sense")
    return str(data).upper()


def save_result(result: str) -> str:
    """Stands in for the quickstart's storage."""
    return f"results/{result}.txt"


async def wait_async(context: JobContext) -> None:
    """Says that it started, then awaits for a minute; notes its clean-up in the file ``log``, from its own thread."""
    context.update_progress(1, "waiting")
    try:
        await asyncio.sleep(60)
    finally:
        await sync_to_async(note)(context.parameters["log"], "cleaned", context.attempt)


async def wait_async_in_a_thread(context: JobContext) -> None:
    """Awaits what blocks a thread for two minutes, where no interruption reaches."""
    context.update_progress(1, "waiting")
    await sync_to_async(threading.Event().wait)(120)


async def block_async(context: JobContext) -> None:
    """A coroutine that never awaits, so that nothing else in its loop goes on."""
    context.update_progress(1, "waiting")
    while True:
        threading.Event().wait(0.01)


async def meet_async(context: JobContext) -> None:
    """Ends once as many as ``together`` of its kind run in this process."""
    _met.append(context.job_id)
    while len(_met) < context.parameters["together"]:  # noqa: ASYNC110  (they have no event in common)
        await asyncio.sleep(0.01)


#: The jobs of ``meet_async`` that this process has begun.
_met: list[str] = []


async def count_async(context: JobContext) -> dict[str, Any]:
    """Asks the database from a coroutine, and reports progress from its thread."""
    count = await Organization.objects.acount()
    await sync_to_async(context.update_progress)(50, "counted")
    return {"count": count}


def listen_slowly(context: JobContext) -> None:
    """From now on this process has a receiver that waits for the file ``path`` and notes each end in ``log``."""
    from django_jobs.models import Job
    from django_jobs.signals import job_finished

    log, path = context.parameters["log"], context.parameters["path"]

    def receive(status: JobStatus, **kwargs: Any) -> None:
        while not os.path.exists(path):  # noqa: PTH110
            threading.Event().wait(0.01)
        note(log, status.job_id, status.status)

    job_finished.connect(receive, sender=Job, weak=False)


class Fatal(BaseException):
    """What ``except Exception`` does not catch."""


FATAL = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "BaseException": Fatal("secret text"),
}


def misbehave(context: JobContext) -> None:
    """Does what no handler should, as ``how`` says."""
    match context.parameters["how"]:
        case "os._exit":
            os._exit(context.parameters.get("code", 0))
        case "SystemExit" | "KeyboardInterrupt" | "GeneratorExit" | "BaseException" as name:
            raise FATAL[name]
        case "open transaction":
            transaction.atomic().__enter__()
            Organization.objects.create(name=context.job_id)
        case "broken transaction":
            transaction.set_autocommit(False)
            with connection.cursor() as cursor, contextlib.suppress(DatabaseError):
                cursor.execute("SELECT no_such_column")
        case "closed connection":
            connection.close()
        case "thread":
            threading.Thread(target=_use_the_context, args=[context], daemon=True).start()
        case "many threads":
            for _ in range(20):
                threading.Thread(target=Organization.objects.count).start()


def _use_the_context(context: JobContext) -> None:
    """Goes on after its handler has returned."""
    pause = threading.Event()
    while True:
        context.update_progress(7, "from a thread that was left behind")
        pause.wait(0.01)


def ask_for_more(context: JobContext) -> dict[str, Any]:
    """Submits, inside a job, the same work as this job's parameters describe; what it is told goes out as it came."""
    job = submit_job(**context.parameters)
    return {"job_id": job.name}


def hold_the_interpreter(context: JobContext) -> None:
    """Is busy in C code for ever, and lets no other thread run."""
    sum(range(10**13))


def hold_if_asked(context: JobContext) -> None:
    """With ``pipe`` busy in C code until somebody writes there, and lets no other thread run; else done at once."""
    if pipe := context.parameters.get("pipe"):
        ctypes.PyDLL(None).open(pipe.encode(), os.O_RDONLY)


def crash(context: JobContext) -> None:
    """Reads where there is no memory."""
    ctypes.string_at(1)


def fail_and_tell(context: JobContext) -> None:
    """Has the signal of failed attempts noted in ``log``, and fails; with ``path`` the receiver fails too."""
    from django_jobs.models import Job
    from django_jobs.signals import job_attempt_failed

    log = context.parameters["log"]

    def receive(status: JobStatus, exception: BaseException, **kwargs: Any) -> None:
        name = traceback.extract_tb(exception.__traceback__)[-1].name
        note(log, status.status.replace(" ", "_"), status.attempt, os.getpid(), name, type(exception).__name__)
        raise RuntimeError("a receiver that fails")

    job_attempt_failed.connect(receive, sender=Job, dispatch_uid=log, weak=False)
    raise ValueError("no such invoice")


#: Statements that take half a minute. Each says which job's it is, and what else of it runs there now is counted.
LONG = {
    "postgresql": "SELECT pg_sleep(30) /* {mark} */",
    "mysql": "SELECT SLEEP(30) /* {mark} */",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x < 1e8) SELECT count(*) FROM n",
}
ACTIVE = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* {mark} */'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%/* {mark} */'",
    "sqlite": "SELECT 0",
}


def ask_for_long(context: JobContext) -> dict[str, Any]:
    """Its first attempt waits for a long statement, in a transaction if ``how`` says so; the second counts what of
    it still runs.
    """
    mark, vendor = context.job_id, connection.vendor
    with connection.cursor() as cursor:
        if context.attempt > 1:
            cursor.execute(ACTIVE[vendor].format(mark=mark))
            return {"active": cursor.fetchone()[0]}
        with transaction.atomic() if context.parameters["how"] == "transaction" else contextlib.nullcontext():
            cursor.execute(LONG[vendor].format(mark=mark))
    return {}


async def ask_for_long_async(context: JobContext) -> dict[str, Any]:
    """The same from a coroutine."""
    return await sync_to_async(ask_for_long)(context)


def tell_batch(context: JobContext) -> dict[str, Any]:
    """Returns what it knows of the batch that it belongs to, or that submitted it."""
    batch = context.batch
    assert batch is not None
    return {"batch_id": batch.batch_id, "state": batch.state, "own": context.batch_id}


def add_to_batch(context: JobContext) -> None:
    """Adds ``count`` jobs of ``job_type`` to its own batch."""
    for number in range(context.parameters["count"]):
        context.submit_job(context.parameters["job_type"], {"added": number}, batch=context.batch_id)


def work_briefly(_context: JobContext) -> None:
    """Takes as long as a short piece of work does."""
    time.sleep(0.02)
