"""How large the parameters and the metadata of a job may be."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import submit_job
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Organization
from tests.support.brokers import end, pending_job, returned, start
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize(("name", "most"), [("parameters", 65_536), ("metadata", 4096)])
def test_an_object_may_be_as_large_as_its_limit_and_no_larger(organization: Organization, name: str, most: int) -> None:
    kind = make_job_type()
    overhead = len('{"a": ""}')
    fitting: dict[str, Any] = {name: {"a": "x" * (most - overhead)}}
    larger: dict[str, Any] = {name: {"a": "x" * (most - overhead + 1)}}
    assert submit_job(kind, organization, **fitting).pk
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(kind, organization, **larger)
    assert caught.value.codes == {name: ["too_large"]}
    text: Any = caught.value.errors[name][0]
    assert (text.values["size"], text.values["most"]) == (most + 1, most)


def test_the_limit_of_parameters_is_the_hosts_choice(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_PARAMETERS_BYTES": 20}
    assert submit_job(make_job_type(), organization, {"a": "x" * 11}).pk
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(make_job_type(), organization, {"a": "x" * 12})
    assert caught.value.codes == {"parameters": ["too_large"]}


def test_a_job_that_uses_its_limits_runs(organization: Organization) -> None:
    job = pending_job(None, organization, parameters={"a": "x" * 65_000}, metadata={"a": "x" * 4000})
    assert end(returned(start(job))).status == "Completed"
