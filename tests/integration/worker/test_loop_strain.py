"""What a coroutine does to the loop that it shares: its neighbors and the next job find it as it was."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_jobs.models import Job
from tests.integration.worker.test_event_loop import Child
from tests.support.brokers import MemoryBroker, running_job
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def child(broker: MemoryBroker, tuning: Tuning) -> Iterator[Child]:
    tuning.set(left_behind_task_seconds=60.0)  # however slow the machine is
    before = signal.getsignal(signal.SIGUSR1)
    made = Child(broker)
    yield made
    made.slots.close()
    made.state.shared_slots.close()
    signal.signal(signal.SIGUSR1, before)


async def use_threads(context: Any) -> dict[str, Any]:
    """What another job needs of the loop."""
    await sync_to_async(Job.objects.exists)()
    assert await asyncio.to_thread(int, "7") == 7
    return {}


def test_a_task_that_a_handler_left_behind_ends_before_it_though_it_ends_as_generators_do(
    child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever awaits a task that raises GeneratorExit is closed, and could await nothing more."""
    ends: list[str] = []
    kept: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ends.append("task")

    async def leave_it(context: Any) -> None:
        kept.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)
        raise GeneratorExit

    ended = child.state.ended
    child.state.ended = lambda outcome: (ends.append("attempt"), ended(outcome))  # type: ignore[assignment, func-returns-value, method-assign]
    assert child.run(leave_it) == ["Failed"]
    assert ends == ["task", "attempt"]
    assert "event=slot_failed" not in caplog.text
    assert "event=run_failed" not in caplog.text


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_handler_that_closes_all_generators_of_the_loop_disturbs_no_job(
    child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    async def close_all(context: Any) -> None:
        await asyncio.get_running_loop().shutdown_asyncgens()

    async def wait(context: Any) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return await use_threads(context)

    assert child.run(wait, close_all, wait) == ["Completed"] * 3
    assert child.run(use_threads) == ["Completed"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("what", ["executor", "task factory", "exception handler"])
def test_what_a_handler_sets_in_the_loop_is_not_the_next_jobs(child: Child, what: str) -> None:
    def ignore(*_: Any) -> None:
        """It handles no exception."""

    async def change(context: Any) -> None:
        loop = asyncio.get_running_loop()
        match what:
            case "executor":
                loop.set_default_executor(executor := ThreadPoolExecutor(max_workers=1))
                executor.shutdown()
            case "task factory":
                loop.set_task_factory(lambda loop, coroutine, **keywords: asyncio.Task(coroutine, loop=loop))
            case _:
                loop.set_exception_handler(ignore)

    seen: list[Any] = []

    async def look(context: Any) -> None:
        loop = asyncio.get_running_loop()
        seen.extend([loop.get_task_factory(), loop.get_exception_handler(), loop._default_executor])  # type: ignore[attr-defined]
        await use_threads(context)

    assert child.run(look) == child.run(change) == child.run(look) == ["Completed"]
    assert seen[:3] == seen[3:]


def test_a_run_that_a_neighbor_cancels_before_it_begins_keeps_no_slot(child: Child) -> None:
    """Nobody would hand its job back, since this process seemed to run it."""
    loop = child.slots._loop  # type: ignore[union-attr]
    jobs: list[Job] = []

    async def cancel_what_begins(context: Any) -> None:
        job, claimed = await sync_to_async(running_job)()
        claimed.handler = use_threads
        jobs.append(job)
        before = asyncio.all_tasks()
        child.state.put([claimed])
        loop._start_more()
        for task in asyncio.all_tasks() - before:
            task.cancel()

    started = child.start(cancel_what_begins)
    wait_until(lambda: bool(jobs) and not child.state.in_hand.busy(), 30, "the slots to be free")
    assert [job.status for job in child.finish(started)] == ["Completed"]
    assert not child.state.running.interrupters()
    assert len(loop._free) == 4
    assert child.run(use_threads) == ["Completed"]
