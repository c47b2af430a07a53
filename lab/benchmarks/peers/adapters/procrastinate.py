"""procrastinate: a job at a time in each worker, and fifty coroutines."""

from __future__ import annotations

from typing import ClassVar

import procrastinate

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, database_url, program

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url()))
TASKS = {
    name: app.task(name=name)(getattr(works, name))
    for name in ("nothing", "nothing_async", "wait", "wait_async", "tell", "tell_async")
}


class Procrastinate(Peer):
    """Functions, which run in a thread each; as many at once as the measure asks for."""

    packages: ClassVar = ("procrastinate", "psycopg")
    suffix: ClassVar = ""
    slots: ClassVar = 1

    def __init__(self) -> None:
        app.open()

    def install(self) -> None:
        app.schema_manager.apply_schema()

    def reset(self) -> None:
        servers.run_sql("TRUNCATE procrastinate_jobs CASCADE")

    def submit(self, jobs: int) -> None:
        task = TASKS["nothing" + self.suffix]
        for _ in range(jobs):
            task.defer()

    def fill(self, work: str, jobs: int) -> None:
        TASKS[work + self.suffix].batch_defer(*[{} for _ in range(jobs)])

    def submit_tell(self, submitted: float, port: int) -> None:
        TASKS["tell" + self.suffix].defer(submitted=submitted, port=port)

    def left(self) -> int:
        return servers.count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        command = [program("procrastinate"), "--app=lab.benchmarks.peers.adapters.procrastinate.app"]
        command += ["--log-level=warning", "worker", f"--concurrency={50 if fifty else self.slots}"]
        return [command, command]


class Procrastinate50(Procrastinate):
    """Coroutines, always fifty at once."""

    suffix: ClassVar = "_async"
    slots: ClassVar = 50
