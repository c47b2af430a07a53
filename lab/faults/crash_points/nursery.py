"""A process with Django loaded, which forks one that acts, again and again: that takes milliseconds, not a second.

It reads a line of JSON with the name of a scenario, what was prepared for it, and a seed. It answers with lines: the
process id of the fork, what that returned or raised, and that it has ended. The fork waits for one more line before it
acts, so that whoever is to kill it knows its number.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import random
import sys
from typing import Any, Final

from tests.support import verbs
from tests.support.tuning import set_for_good

GO: Final = b"go\n"
#: For how long a command of Redis is waited for, and how long Redis is left alone when it did not answer.
ANSWER_SECONDS: Final = 0.5


def main() -> None:
    """Fork for each line until there is none."""
    import django

    django.setup()
    from lab.faults.crash_points.scenarios import ALL, BROKEN

    _prepare()
    _say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            _act((ALL | BROKEN)[order["scenario"]].act, order["given"], order["seed"])
        _say({"pid": pid})
        _say({"status": os.waitpid(pid, 0)[1]})


def _prepare() -> None:
    """Load what each fork would load, connect to nothing, and have little patience with Redis."""
    from django.db import connections

    import django_jobs

    for module in pkgutil.walk_packages(django_jobs.__path__, "django_jobs."):
        if not module.name.startswith(("django_jobs.migrations", "django_jobs.realtime", "django_jobs.worker.__")):
            importlib.import_module(module.name)
    verbs.discover_handlers()
    connections["default"].ensure_timezone  # noqa: B018  (it loads the driver)
    gc.collect()
    gc.freeze()
    set_for_good(broker_answer_seconds=(ANSWER_SECONDS,), broker_break_seconds=ANSWER_SECONDS)


def _act(act: Any, given: Any, seed: int) -> None:
    """What the fork does. It leaves at once, as a process that is killed does."""
    os.read(0, len(GO))
    random.seed(seed)
    try:
        value = act(given)
    except BaseException as error:  # noqa: BLE001  (it is told)
        _say({"raised": [cls.__name__ for cls in type(error).__mro__], "text": repr(error)})
    else:
        _say({"returned": value})
    os._exit(0)


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
