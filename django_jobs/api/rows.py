"""What the views of jobs and those of batches have in common: each reaches rows by their ids."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from django_jobs.api.base import JobsView
from django_jobs.api.serializers import NothingSerializer

M = TypeVar("M", bound=Model)


class RowsView(JobsView, GenericViewSet[M]):
    """Reaches rows by an id, below a prefix that may have parameters of its own.

    Its methods accept any parameters of the address for that reason.
    """

    lookup_value_regex = "[^/]+"
    serializer_class: Any = NothingSerializer

    def reverse_action(self, url_name: str, *args: Any, **kwargs: Any) -> str:
        """Return the address of another route below the same prefix."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        return str(super().reverse_action(url_name, *args, **{**kwargs, "kwargs": prefix | kwargs.get("kwargs", {})}))

    def address_of(self, url_name: str, **kwargs: Any) -> str:
        """Return the address of a route of other rows, such as ``job-list``, below the same prefix."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        match: Any = self.request.resolver_match
        return str(reverse(f"{match.namespace}:{url_name}", request=self.request, kwargs=prefix | kwargs))

    @staticmethod
    def refuse_fields(request: Any) -> None:
        """Raise ValidationError when the body has any field: this call takes none."""
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
