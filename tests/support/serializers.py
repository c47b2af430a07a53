"""What a baker's orders look like, for types of jobs that declare their parameters."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Line(serializers.Serializer[Any]):
    sku = serializers.SlugField(max_length=8)
    count = serializers.IntegerField(min_value=1, max_value=99, default=1)


class Order(serializers.Serializer[Any]):
    day = serializers.DateField(help_text="When it is baked.")
    lines = Line(many=True, required=False)
    sizes = serializers.DictField(child=serializers.IntegerField(), required=False)
    note = serializers.CharField(required=False, allow_blank=True, allow_null=True, label="A word")

    def validate(self, data: Any) -> Any:
        if data.get("note") == "contradiction":
            raise serializers.ValidationError("This contradicts itself.")
        return data
