"""The parameters of the shop's jobs. A serializer's errors say what would be accepted."""

from __future__ import annotations

from datetime import date
from typing import Any

from rest_framework import serializers


class Parameters(serializers.Serializer[Any]):
    """Refuses names that it does not know; otherwise a mistyped name would be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            accepted = f"There is no such parameter. Accepted: {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [accepted] for name in unknown})
        return super().to_internal_value(data)


class ReportParameters(Parameters):
    """What a report may be asked for. Without a ``date_range`` it covers the last full month that has orders."""

    template = serializers.ChoiceField(choices=("monthly_report", "report"), default="monthly_report")
    date_range = serializers.ListField(
        child=serializers.DateField(),
        min_length=2,
        max_length=2,
        required=False,
        help_text='The first and the last day, both included: ["2025-01-01", "2025-01-31"].',
    )
    # The models that may be told of the file, and not any name that somebody types.
    callback_doctype = serializers.ChoiceField(choices=("Report Request",), required=False)
    callback_name = serializers.CharField(max_length=20, required=False)

    def validate_date_range(self, days: list[date]) -> list[date]:
        first, last = days
        if first > last:
            raise serializers.ValidationError(f"{first} is after {last}. The first day comes first.")
        return days


class MailParameters(Parameters):
    """What a mail may be asked for. Without ``to`` it goes to the organization's admins."""

    to = serializers.ListField(child=serializers.EmailField(), min_length=1, max_length=20, required=False)


class NotificationParameters(MailParameters):
    template = serializers.ChoiceField(choices=("fax_sent_confirmation",))


class CustomerParameters(Parameters):
    customer = serializers.IntegerField(min_value=1, help_text="The customer's number in the database.")


class FaxParameters(Parameters):
    fax_number = serializers.RegexField(
        r"^\+[1-9][0-9]{6,14}$", error_messages={"invalid": "Write the number with its country: +15551234567."}
    )
    document = serializers.RegexField(
        r"^[\w .-]+\.(pdf|tiff?)$",
        max_length=120,
        error_messages={"invalid": "Give the name of a PDF or TIFF file: doc.pdf."},
    )


class MonthParameters(Parameters):
    month = serializers.RegexField(
        r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$",
        required=False,
        error_messages={"invalid": "Write the month like 2025-01."},
        help_text="By default the last full month that has orders.",
    )


class StatementParameters(CustomerParameters, MonthParameters):
    pass


class PublishParameters(Parameters):
    seconds = serializers.IntegerField(
        min_value=1, max_value=20, default=3, help_text="How long the pretended marketplace takes for a product."
    )


class ItemParameters(Parameters):
    item_id = serializers.CharField(max_length=120, help_text="A product's SKU, or its name.")


class InvoiceRunParameters(Parameters):
    orders = serializers.IntegerField(min_value=1, max_value=200, default=20, help_text="How many, the latest first.")
    seconds = serializers.FloatField(
        min_value=0, max_value=5, default=0.2, help_text="How long the pretended providers take for one thing."
    )
    run = serializers.CharField(required=False, max_length=40, help_text="Makes this run another one than the last.")
