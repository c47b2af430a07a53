"""Which fields of a parameters form must be filled in."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from django_jobs.admin.forms import form_field


def test_what_the_serializer_takes_without_a_value_may_be_left_out() -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"required": False}, False),
        ({"allow_blank": True}, False),
        ({"allow_null": True}, False),
    ]
    found = [form_field("note", serializers.CharField(**options)).required for options, _ in cases]
    assert found == [required for _, required in cases]
