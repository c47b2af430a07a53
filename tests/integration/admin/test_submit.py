"""Submit a job: a form made from the type's parameter serializer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework import serializers

from django_jobs import job_handler
from django_jobs.models import Job, JobType, Organization
from tests.support import admin
from tests.support.admin import form_codes, remembered, text, url
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


class Everything(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=20, help_text="Any name.")
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    nickname = serializers.CharField(allow_null=True)
    password = serializers.CharField(default="hunter2")
    count = serializers.IntegerField(min_value=1, default=3)
    share = serializers.FloatField(required=False)
    price = serializers.DecimalField(max_digits=6, decimal_places=2, required=False)
    is_urgent = serializers.BooleanField()
    may_wait = serializers.BooleanField(required=False)
    day = serializers.DateField(required=False)
    moment = serializers.DateTimeField(required=False)
    size = serializers.ChoiceField(choices=[1, 2], required=False)
    colours = serializers.MultipleChoiceField(choices=["red", "blue"], required=False)
    lines = serializers.ListField(child=serializers.IntegerField(), required=False)
    owner = serializers.PrimaryKeyRelatedField(queryset=Organization.objects.all(), required=False)
    secret = serializers.HiddenField(default="x")
    seen = serializers.CharField(read_only=True)

    def validate_name(self, name: str) -> str:
        if name == "nobody":
            raise serializers.ValidationError("Not <b>nobody</b>.")
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["name"] == "both":
            raise serializers.ValidationError("These do not go together.")
        return attrs


@pytest.fixture
def declared(nothing_declared: object) -> Iterator[JobType]:
    """A type whose parameters a serializer validates."""
    from tests.support.handlers import echo

    kind = make_job_type("echo")
    job_handler(kind.pk, parameters=Everything)(echo)
    return kind  # type: ignore[return-value]


def submit(client: Client, kind: JobType, **values: Any) -> Any:
    given = {"organization": "ORG-MINE", "priority": "", **{f"p-{name}": value for name, value in values.items()}}
    return client.post(url("jobtype", "submit", kind.pk), given, follow=True)


def test_a_type_without_a_serializer_takes_json(root: Client, mine: Organization) -> None:
    kind = make_job_type(default_priority="High")
    values = {"organization": "ORG-MINE", "parameters": '{"month": 3}', "priority": ""}
    response = root.post(url("jobtype", "submit", kind.pk), values, follow=True)
    job = Job.objects.get()
    assert response.redirect_chain[-1][0] == url("job", "change", job.pk)
    assert (job.input_parameters, job.owner_name, job.organization_id, job.priority) == (
        {"month": 3},
        "root",
        mine.pk,
        2,
    )
    assert [user for user, _ in remembered(job)] == ["root"]


@pytest.mark.usefixtures("mine")
def test_each_field_is_asked_for_in_its_own_way(root: Client, declared: JobType) -> None:
    page = text(root, url("jobtype", "submit", declared.pk))
    assert 'type="number" name="p-count" value="3"' in page
    assert 'type="date" name="p-day"' in page
    assert 'type="datetime-local" name="p-moment"' in page
    assert 'type="checkbox" name="p-is_urgent"' in page
    assert '<select name="p-size"' in page
    assert 'type="number" name="p-owner"' in page
    assert "Any name." in page
    assert "p-secret" not in page
    assert "p-seen" not in page


@pytest.mark.usefixtures("mine")
def test_a_sensitive_field_is_typed_unseen(root: Client, declared: JobType, settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("PASSWORD",)}
    page = text(root, url("jobtype", "submit", declared.pk))
    assert ('type="password" name="p-password"' in page, "hunter2" in page) == (True, False)
    submit(root, declared, name="ann", count="1", password=" x ")
    assert Job.objects.get().input_parameters["password"] == " x "


def test_what_is_typed_becomes_json_and_what_is_empty_is_left_out(
    root: Client, declared: JobType, mine: Organization
) -> None:
    submit(
        root,
        declared,
        name="ann",
        note="",
        count="4",
        price="1.50",
        is_urgent="on",
        may_wait="unknown",
        day="2026-10-01",
        moment="2026-10-01T12:00",
        size="2",
        colours=["red"],
        lines="[1, 2]",
        owner=str(mine.pk),
        password="",
    )
    found = Job.objects.get().input_parameters
    assert dt.datetime.fromisoformat(found.pop("moment")).hour == 12
    assert found == {
        "name": "ann",
        "count": 4,
        "price": "1.50",
        "nickname": None,
        "is_urgent": True,
        "day": "2026-10-01",
        "size": 2,
        "colours": ["red"],
        "lines": [1, 2],
        "owner": mine.pk,
    }


@pytest.mark.usefixtures("mine")
def test_a_refusal_stands_beside_what_it_means(subtests: pytest.Subtests, root: Client, declared: JobType) -> None:
    cases: list[tuple[dict[str, str], str]] = [
        ({"name": "nobody"}, "p-name"),
        ({"name": "both"}, "__all__"),
        ({"name": "ann", "lines": '["x"]'}, "p-lines"),
        ({"name": "ann", "lines": "["}, "p-lines"),
        ({"name": "ann", "owner": "99999"}, "p-owner"),
        ({}, "p-name"),
    ]
    for values, place in cases:
        with subtests.test(values=values, place=place):
            response = submit(root, declared, **values)
            assert list(response.context["form"].errors) == [place]
            assert not Job.objects.exists()
            assert "<b>nobody" not in response.content.decode()


@pytest.mark.usefixtures("mine")
def test_organizations_are_offered_and_others_refused(root: Client) -> None:
    kind = make_job_type()
    assert '<option value="ORG-MINE"></option>' in text(root, url("jobtype", "submit", kind.pk))
    response = root.post(url("jobtype", "submit", kind.pk), {"organization": "ORG-NONE\x00", "parameters": "{}"})
    assert form_codes(response)["organization"] == ["null_characters_not_allowed"]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"is_enabled": False}, "job_type_disabled"), ({"rate_limit": 0}, "rate_limited")],
)
@pytest.mark.usefixtures("mine")
def test_a_type_that_takes_nothing_says_so(root: Client, change: dict[str, Any], code: str) -> None:
    kind = make_job_type()
    JobType.objects.filter(pk=kind.pk).update(**change)
    response = root.post(url("jobtype", "submit", kind.pk), {"organization": "ORG-MINE", "parameters": "{}"})
    assert form_codes(response) == {"__all__": [code]}


def test_a_paused_type_takes_jobs_that_wait(root: Client, mine: Organization) -> None:
    kind = make_job_type(is_paused=True)
    root.post(url("jobtype", "submit", kind.pk), {"organization": mine.name, "parameters": "{}"})
    assert Job.objects.get().status == "Pending"


def test_types_are_tried_by_system_admins_alone(mine: Organization) -> None:
    kind = make_job_type()
    member = admin.staff_of(mine, role="admin")
    assert member.get(url("jobtype", "submit", kind.pk)).status_code == 403
    assert url("jobtype", "submit", kind.pk) not in text(member, url("jobtype", "change", kind.pk))
    assert admin.system_admin().get(url("jobtype", "submit", kind.pk)).status_code == 200
