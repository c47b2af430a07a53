"""Measure django_jobs and other task queues on the same servers, in turn.

    python -m lab.benchmarks.peers --rounds 3 [--only celery rq …]

Ours is measured with the interpreter that runs this; each peer in an environment of its own, made by pip. Databases
``bench_peers_*`` are made anew and the Redis database is emptied again and again. docs/benchmarks.md tells the method.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from lab.benchmarks.peers import environments, figures, plot

CHECKOUT: Final = Path(__file__).resolve().parents[3]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "django-jobs-peers"
ADAPTERS: Final = "lab.benchmarks.peers.adapters"
#: How many jobs a measure has, as a part of --jobs.
MEASURES: Final = {"submit": 0.2, "drain": 1.0, "waits": 0.5, "rest": 0.0}
LIMIT_SECONDS: Final = 240


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of a drain; a fifth of them are submitted")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these peers, and ours for the ratios")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME")
    parser.add_argument("--environments", type=Path, default=CACHE, help="where the virtual environments are")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="without a database")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/5", help="with a database, which is emptied")
    parser.add_argument("--results", type=Path, default=CACHE / "results.json")
    parser.add_argument("--plot", type=Path, default=CHECKOUT / "docs" / "benchmarks-peers.svg")
    parser.add_argument("--note", default="", help="what the plot says of the machine")
    parser.add_argument("--again", action="store_true", help="measure nothing; report the results of the last time")
    return parser.parse_args()


class Bench:
    """A run of the benchmark."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        table = environments.read_table()
        unknown = set(asked.only or ()) - set(table)
        if unknown:
            raise SystemExit(f"No such peer: {', '.join(sorted(unknown))}. There are: {', '.join(table)}.")
        self._peers = [peer for peer in table.values() if not asked.only or peer.name in {*asked.only, figures.OURS}]
        self._pythons: dict[str, Path] = {}
        self._versions: dict[str, dict[str, str]] = {}
        self._errors: list[str] = []
        self._rounds: list[dict[str, dict[str, float]]] = []

    def run(self) -> None:
        """Prepare the peers, and measure those that could be prepared."""
        for peer in self._peers:
            self._prepare(peer)
        for number in range(1, self._asked.rounds + 1):
            found: dict[str, dict[str, float]] = {name: {} for name in self._pythons}
            self._rounds.append(found)
            for measure in self._asked.measures:
                for peer in figures.rotated(self._peers, 4 * number):
                    if peer.name in self._pythons:
                        found[peer.name] |= self._measure(number, peer, measure)
                self._write()

    def _write(self) -> None:
        """Write the results so far: they are there when a run is broken off."""
        when = time.strftime("%Y-%m-%d")
        note = f"{when}: {len(self._rounds)} rounds in turn, {self._asked.jobs:,} jobs, {os.cpu_count()} cores for all."
        note = f"{note} {self._asked.note}".strip()
        results = {"note": note, "rounds": self._rounds, "versions": self._versions, "errors": self._errors}
        self._asked.results.parent.mkdir(parents=True, exist_ok=True)
        self._asked.results.write_text(json.dumps(results, indent=1))

    def _prepare(self, peer: environments.Peer) -> None:
        try:
            python = environments.prepare(peer, self._asked.environments)
            self._versions[peer.name] = self._ask(peer, python, "install", 0)["versions"]
        except (OSError, RuntimeError, subprocess.SubprocessError, KeyError) as error:
            self._complain(f"{peer.name} is not there: {error}")
        else:
            self._pythons[peer.name] = python
            print(f"{peer.name}: {', '.join(' '.join(item) for item in self._versions[peer.name].items())}", flush=True)

    def _measure(self, number: int, peer: environments.Peer, measure: str) -> dict[str, float]:
        started = time.monotonic()
        try:
            jobs = int(MEASURES[measure] * self._asked.jobs)
            answer = self._ask(peer, self._pythons[peer.name], measure, jobs)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            self._complain(f"{peer.name} failed at {measure} in round {number}: {error}")
            return {}
        found: dict[str, float] = answer["figures"]
        words = ", ".join(f"{name} {value:,.1f}" for name, value in found.items()) or "does not apply"
        print(f"round {number}, {peer.name}: {words} ({time.monotonic() - started:.0f} s)", flush=True)
        return found

    def _ask(self, peer: environments.Peer, python: Path, measure: str, jobs: int) -> dict[str, Any]:
        """Run one measure in the peer's environment and gather the lines of its answer."""
        command = [str(python), "-m", ADAPTERS, peer.adapter, measure, str(jobs)]
        addresses = {"PEERS_POSTGRES": self._asked.postgres, "PEERS_REDIS": self._asked.redis}
        environment = os.environ | addresses | {"PEERS_NAME": peer.name, "PYTHONPATH": str(CHECKOUT)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        code, output, complaints = _finish(command, environment)
        lines = [json.loads(line) for line in output.splitlines()]
        answer: dict[str, Any] = {"figures": {}}
        for line in lines:
            if "error" in line:
                raise RuntimeError(line["error"])
            if "figure" in line:
                answer["figures"][line["figure"]] = line["value"]
            else:
                answer |= line
        if not lines and code:
            raise RuntimeError(complaints.strip()[-800:])
        return answer

    def _complain(self, words: str) -> None:
        self._errors.append(words)
        print(words, file=sys.stderr, flush=True)


def _finish(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Run a command to its end, which is asked for after LIMIT_SECONDS: it has workers to stop."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=pipe, stderr=pipe, text=True)
    try:
        output, complaints = process.communicate(timeout=LIMIT_SECONDS)
    except BaseException:
        process.terminate()
        process.wait(60)
        raise
    return process.returncode, output, complaints


def report(results: dict[str, Any], picture: Path) -> None:
    """Print every measure's table, what failed, and draw the plot."""
    rounds, peers = results["rounds"], list(results["versions"])
    for measure in figures.MEASURES:
        print("\n" + figures.table(rounds, measure, peers))
    for compared in (False, True):
        print("\n" + figures.overview(rounds, peers, list(figures.MEASURES), compared=compared))
    print("\n" + "\n".join(results["errors"] or ["Nothing failed."]))
    picture.write_text(plot.draw(rounds, peers, results["note"]))


def main() -> None:
    asked = options()
    if not asked.again:
        Bench(asked).run()
    report(json.loads(asked.results.read_text()), asked.plot)


if __name__ == "__main__":
    main()
