"""``python -m lab.benchmarks.flow NAME [--small]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module

NAMES = ("concurrency", "fairness", "rate", "breaker", "backlog")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.benchmarks.flow")
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--small", action="store_true", help="Shorter: to see that it runs, not to publish.")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that workers end too
    os.environ["DJANGO_SETTINGS_MODULE"] = "lab.benchmarks.flow.settings"

    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    found = [import_module(f"lab.benchmarks.flow.{name}").measure(small=options.small) for name in options.names]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
