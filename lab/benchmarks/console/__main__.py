"""How fast the console is at 1,000,000 jobs with 5,000 failures in 300 groups. Prints figures; asserts nothing.

    createdb console
    export DATABASE_URL=postgres://postgres@127.0.0.1/console REDIS_URL=redis://127.0.0.1:6379/9
    python -m lab.benchmarks.console

It fills the database (which it empties, and the Redis database too), asks for each page as a superuser and as staff of
one large organization, before and after ANALYZE, and then cancels 50,000 jobs and retries 20,000. The database's user
must be a superuser, because statistics are taken away for the first part.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

TIMES = 7


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.benchmarks.console")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {', '.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=TIMES, help="how often each page is asked for")
    parser.add_argument("--only", default="", help="the pages whose names hold this")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ["DJANGO_SETTINGS_MODULE"] = "lab.benchmarks.settings"

    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    for name in options.parts or PARTS:
        began = time.monotonic()
        PARTS[name](options)
        print(f"({name}: {time.monotonic() - began:,.0f} s)\n", flush=True)
    return 0


def _fill(options: argparse.Namespace) -> None:
    from lab.benchmarks.console import stage

    stage.fill(options.jobs)


def _unknown(options: argparse.Namespace) -> None:
    from lab.benchmarks.console import stage

    stage.forget_statistics()
    _ask("without statistics", options)


def _known(options: argparse.Namespace) -> None:
    from lab.benchmarks.console import stage

    stage.analyze()
    _ask("after VACUUM ANALYZE", options)


def _ask(what: str, options: argparse.Namespace) -> None:
    from lab.benchmarks.console import requests, stage

    columns = f"{'median':>7} {'p95':>7} {'CPU':>7} {'SQL':>4}"
    print(f"{what:36}{'superuser':31}staff of {stage.LARGE}\n{'milliseconds':36}{columns}   {columns}")
    browsers = [requests.Browser(name) for name in (stage.ADMIN, stage.STAFF)]
    for page in requests.pages():
        if options.only in page.name:
            found = "   ".join(str(browser.measure(page, options.times)) for browser in browsers)
            print(f"{page.name:36}{found}", flush=True)


def _operate(_options: argparse.Namespace) -> None:
    from lab.benchmarks.console import operations

    for what, seconds, cpu, outcome in operations.measure():
        print(f"{what:36}{seconds:7.1f} s, {cpu:.1f} s of the scheduler's CPU: {outcome}", flush=True)


def _metrics(options: argparse.Namespace) -> None:
    from lab.benchmarks.console import scrapes

    for line in scrapes.measure(options.times):
        print(line, flush=True)


#: "unknown" measures without statistics, "known" with them.
PARTS = {"fill": _fill, "unknown": _unknown, "known": _known, "metrics": _metrics, "operations": _operate}

if __name__ == "__main__":
    sys.exit(main())
