"""Plain ``rqworker`` processes, which our own table of workers does not know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from redis import Redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

#: The names of our own workers, which RQ lists too: host, the supervisor's process id, eight hexadecimal digits.
_OURS: Final = re.compile(r".*-\d+-[0-9a-f]{8}\Z")


def count_by_queue(client: Redis, queues: Sequence[str]) -> Counter[str]:
    """Return how many plain workers RQ lists for each of these queues.

    RQ lists one that was killed for some minutes more. What is out of date in RQ's lists is left there.
    """
    with client.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.smembers(WORKERS_BY_QUEUE_KEY % queue)
        listed = dict(zip(queues, pipeline.execute(), strict=True))
        found_keys = {key for found in listed.values() for key in found}
        keys = sorted(key for key in found_keys if not _OURS.match(key.decode(errors="replace")))
        for key in keys:
            pipeline.exists(key)
        alive = {key for key, exists in zip(keys, pipeline.execute(), strict=True) if exists}
    return Counter({queue: len(alive & found) for queue, found in listed.items()})
