"""The pages for those who come from another task queue: their examples run in their order, and assert by themselves."""

from __future__ import annotations

import re
import sys
import textwrap
from types import ModuleType
from typing import Any, Final

import pytest
import redis
import rq

from django_jobs import submit_job
from django_jobs.models import Job
from tests.support.documents import DOCS, examples_of
from tests.support.factories import make_job_type, make_organization

PAGES: Final = sorted(page.name for page in DOCS.glob("from-*.md"))
#: What is theirs: code from before, and the function that stays for calls which are under way. It may be indented.
THEIRS: Final = re.compile(r"^ *```py\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("broker", "nothing_declared")
def test_the_examples_run_in_their_order(page: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    make_organization(name="ORG-2026-00001")
    module = ModuleType("moved_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": [module.__name__]}
    examples = examples_of(page)
    assert any("assert " in example for example in examples)
    for example in examples:
        exec(compile(example, page, "exec"), vars(module))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_theirs_is_python_too(page: str) -> None:
    theirs = [textwrap.dedent(example) for example in THEIRS.findall((DOCS / page).read_text())]
    assert len(theirs) == 2
    for example in theirs:
        compile(example, page, "exec")


@pytest.mark.usefixtures("broker")
def test_a_call_that_rq_runs_twice_submits_one_job(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    make_organization(name="ORG-2026-00001")
    make_job_type(type_name="export_customers")
    old = ModuleType("old_tasks")
    vars(old).update(submit_job=submit_job, get_current_job=rq.get_current_job)
    exec(textwrap.dedent(THEIRS.findall((DOCS / "from-rq.md").read_text())[-1]), vars(old))
    monkeypatch.setitem(sys.modules, old.__name__, old)
    queue = rq.Queue("old", connection=redis_client)
    call = queue.enqueue("old_tasks.export_customers", "Kiel")
    worker = rq.SimpleWorker([queue], connection=redis_client)
    # no public way: RQ would change the signals of the test's own process
    monkeypatch.setattr(worker, "_install_signal_handlers", lambda: None)
    # Its thread for orders, and the connection of that, may live for a moment longer than the test.
    monkeypatch.setattr(worker, "subscribe", lambda: None)
    worker.work(burst=True)
    queue.enqueue_job(call)
    worker.work(burst=True)
    assert len(call.results()) == 2
    assert Job.objects.get().input_parameters == {"city": "Kiel"}
