"""How small a worker's child could be at best: what it would hold with nothing of django_jobs. Only prints figures.

    python -m lab.benchmarks.memory

It loads what every child needs of others (Python, Django with two apps, redis-py, RQ, django-rq), tells after each how
much that holds, and forks. The forked process does one query and waits once at Redis; what it holds then is the floor.
The database is DATABASE_URL or SQLite in memory, Redis is REDIS_URL; it wants Linux, and writes to neither.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, Final

#: Not by psutil, which would be half a megabyte of what is measured.
MAPS: Final = Path("/proc/self/smaps_rollup")
#: A key that nobody pushes to.
NOTHING: Final = "django_jobs:benchmarks:nothing"


def main() -> None:
    print(f"{'MB':32} {'RSS':>6} {'PSS':>6} {'USS':>6}")
    _tell("Python")
    for name, load in (("Django, two apps", _django), ("redis-py", _redis), ("RQ, django-rq", _rq)):
        load()
        gc.collect()
        _tell(f"with {name}")
    gc.freeze()
    child = os.fork()
    if child == 0:
        _tell("forked")
        _query()
        _wait_at_redis()
        _tell("forked, after its first work")
        os._exit(0)
    os.waitpid(child, 0)


def _tell(what: str) -> None:
    lines = [line.split() for line in MAPS.read_text().splitlines()[1:]]
    kilobytes = {words[0]: int(words[1]) for words in lines}
    own = kilobytes["Private_Clean:"] + kilobytes["Private_Dirty:"]
    held = (kilobytes["Rss:"], kilobytes["Pss:"], own)
    print(f"{what:32}", *(f"{number / 1024:6.1f}" for number in held), flush=True)


def _django() -> None:
    import django
    from django.conf import settings

    from tests.bare import settings as bare

    given: dict[str, Any] = {name: getattr(bare, name) for name in dir(bare) if name.isupper()}
    settings.configure(**{**given, "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth"]})
    django.setup()


def _redis() -> None:
    import redis  # noqa: F401


def _rq() -> None:
    import django_rq  # noqa: F401
    import rq.worker  # noqa: F401


def _query() -> None:
    from django.contrib.auth.models import Group
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    str(Group.objects.filter(name="nobody").query)  # as SQL alone: the database may have no tables


def _wait_at_redis() -> None:
    import django_rq

    django_rq.get_connection("jobs-normal").blpop([NOTHING], 1)


if __name__ == "__main__":
    main()
