"""Only engine/transitions, through the store, writes a job's status; a new row's first one is the submission's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import django_jobs

PACKAGE: Final = Path(django_jobs.__file__).parent
WRITERS: Final = {PACKAGE / "engine" / "store"}
#: ``Job(status=…)`` makes a row that does not exist yet, a filter only reads, and a response has a status of HTTP.
READERS: Final = frozenset(
    {
        *("Job", "JobFilter", "filter", "exclude", "get", "Q", "Count", "JobStatus", "send_robust", "deliver_about"),
        *("Response", "HttpResponse", "JsonResponse"),
        # What it is called, what is asked for, and what is said of it.
        *("in_words", "ActOutcome", "query", "failures", "jobs", "format", "format_html", "jobs_of", "say"),
        # Another filter: a copy of a value writes no row.
        "replace",
        # What Django's interface tells of a task, and the column that a migration makes.
        *("TaskResult", "table"),
    }
)


def status_writes(source: str) -> Iterator[int]:
    """The lines of ``x.status = …``, ``f(status=…)``, ``setattr(x, "status", …)`` and ``update_fields=["status"]``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=targets) if any(is_status(target) for target in targets):
                yield node.lineno
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target) if is_status(target):
                yield node.lineno
            case ast.Call():
                if is_writing_call(node):
                    yield node.lineno


def is_status(target: ast.AST) -> bool:
    match target:
        case ast.Attribute(attr="status", value=ast.Name(id="self")):
            return False  # an exception's or a value's own attribute
        case ast.Attribute(attr="status"):
            return True
        case ast.Tuple(elts=parts):
            return any(is_status(part) for part in parts)
    return False


def is_writing_call(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in READERS and any(keyword.arg == "status" for keyword in call.keywords):
        return True
    texts = {node.value for node in ast.walk(call) if isinstance(node, ast.Constant)}
    return name in {"setattr", "bulk_update", "save"} and "status" in texts


def test_the_scan_sees_a_write(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "job.status = 'Failed'",
        "job.status, job.attempt = 'Failed', 2",
        "rows.update(status='Failed')",
        "setattr(job, 'status', 'Failed')",
        "rows.bulk_update(jobs, ['status'])",
        "job.save(update_fields=['status'])",
    ]
    for code in cases:
        with subtests.test(code=code):
            assert list(status_writes(code)) == [1]


def test_the_scan_lets_reading_pass(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "rows.filter(status='Failed')",
        "if job.status == 'Failed': pass",
        "status = job.status",
        "Q(status='x')",
    ]
    for code in cases:
        with subtests.test(code=code):
            assert list(status_writes(code)) == []


def test_nothing_else_writes_a_status() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if WRITERS.isdisjoint(path.parents)
        for line in status_writes(path.read_text())
    ]
    assert found == []
