"""What `jobs_worker` was asked to do."""

from __future__ import annotations

import dataclasses
import json


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """``processes`` children with ``threads`` slots each on ``queues``; ``max_jobs`` recycles a child."""

    processes: int = 2
    threads: int = 1
    queues: tuple[str, ...] = ()
    burst: bool = False
    scheduler: bool = True
    max_jobs: int | None = None
    reload: bool = False

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        values = json.loads(text)
        return cls(**{**values, "queues": tuple(values["queues"])})
