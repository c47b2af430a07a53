"""The measures. Each is the same code for every peer, and answers with figures by name."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import NOTHING, TELL, WAIT, Peer
from lab.benchmarks.peers.adapters.processes import Workers, running

Figures = dict[str, float]

WARM_UP: Final = 20
START_SECONDS: Final = 60
DRAIN_SECONDS: Final = 8
POLL_SECONDS: Final = 0.1
#: A drain is measured from where this part of the jobs has ended: all workers have started by then.
STARTED: Final = 0.03
TOLD_JOBS: Final = 60
TOLD_EVERY: Final = 0.05
TOLD_SECONDS: Final = 30
IDLE_SECONDS: Final = 5


def submit(peer: Peer, jobs: int) -> Figures:
    """Jobs submitted one by one while nobody works."""
    peer.reset()
    peer.submit(WARM_UP)
    return {"submit": jobs / _seconds(lambda: peer.submit(jobs))}


def drain(peer: Peer, jobs: int) -> Figures:
    """The bulk call, and then the drain of what it submitted with the CPU of the workers."""
    jobs = _filled(peer, jobs)
    peer.reset()
    peer.fill(NOTHING, WARM_UP)
    peer.reset()
    seconds = _seconds(lambda: peer.fill(NOTHING, jobs))
    figures = {"bulk": jobs / seconds} if peer.has_bulk else {}
    done = _drain(peer, jobs, fifty=False)
    return figures | {"drain": done.rate, "cpu": done.microseconds}


def waits(peer: Peer, jobs: int) -> Figures:
    """The drain of jobs that wait for ten milliseconds, by two processes with fifty at once in each."""
    if not peer.has_slots:
        return {}
    jobs = _filled(peer, jobs)
    peer.reset()
    peer.fill(WAIT, jobs)
    return {"waits": _drain(peer, jobs, fifty=True).rate}


def rest(peer: Peer, _jobs: int) -> Figures:
    """Memory and CPU of workers that rest, and how soon they start single jobs."""
    peer.reset()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, running(peer.commands(fifty=False)) as workers:
        line.bind(("127.0.0.1", 0))
        _tell(peer, line, 2, START_SECONDS, workers)
        _tell(peer, line, WARM_UP, TOLD_SECONDS, workers)
        time.sleep(1)
        before = workers.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (workers.cpu_seconds() - before) / IDLE_SECONDS
        memory = workers.megabytes()
        delays = sorted(_tell(peer, line, TOLD_JOBS, TOLD_SECONDS, workers))
    at = {percent: 1000 * delays[int(percent / 100 * (len(delays) - 1))] for percent in (50, 95, 99)}
    return {"p50": at[50], "p95": at[95], "p99": at[99], "memory": memory, "idle": 100 * idle}


MEASURES: Final = {"submit": submit, "drain": drain, "waits": waits, "rest": rest}


def _filled(peer: Peer, jobs: int) -> int:
    """Return of how many jobs a drain is: half as many without a bulk call, which take long to submit."""
    return jobs if peer.has_bulk else jobs // 2


class _Drained(NamedTuple):
    rate: float
    microseconds: float


class _Sample(NamedTuple):
    moment: float
    done: int
    cpu: float


def _drain(peer: Peer, jobs: int, *, fifty: bool) -> _Drained:
    """Let workers drain what is there, for DRAIN_SECONDS at most, which a slow peer does not finish within."""
    if peer.on_postgres:
        servers.analyze()
    with running(peer.commands(fifty=fifty)) as workers:
        before = first = _sample(peer, jobs, workers)
        limit = first.moment + START_SECONDS
        while first.done < STARTED * jobs:
            if first.moment > limit:
                raise RuntimeError(f"{first.done} jobs ended within {START_SECONDS} s: {workers.last_words()}")
            before, first = first, _sample(peer, jobs, workers)
        if first.done == jobs:  # so few that all of them ended between two looks
            first, last = before, first
        else:
            last = first
            while last.done < jobs and last.moment < first.moment + DRAIN_SECONDS:
                last = _sample(peer, jobs, workers)
    ended = last.done - first.done
    return _Drained(ended / (last.moment - first.moment), 1e6 * (last.cpu - first.cpu) / ended)


def _sample(peer: Peer, jobs: int, workers: Workers) -> _Sample:
    time.sleep(POLL_SECONDS)
    workers.check()
    left = peer.left()
    return _Sample(time.perf_counter(), jobs - left, workers.cpu_seconds())


def _tell(peer: Peer, line: socket.socket, jobs: int, patience: float, workers: Workers) -> list[float]:
    """Submit jobs that tell their delays at even intervals, and return these in seconds."""
    port = line.getsockname()[1]
    for number in range(jobs):
        began = time.time()
        peer.submit_tell(began, port)
        if number < jobs - 1:
            time.sleep(max(0.0, began + TOLD_EVERY - time.time()))
    line.settimeout(patience)
    try:
        return [float(line.recv(100)) for _ in range(jobs)]
    except TimeoutError:
        workers.check()
        raise RuntimeError(f"a job of {TELL!r} did not run within {patience} s: {workers.last_words()}") from None


def _seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
