"""Access policies that a host might write."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.access import AccessPolicy


class OnlyTheFirst(AccessPolicy):
    """Whose members may submit one type alone."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return super().can_submit(user, organization, job_type) and bool(job_type.pk == "a_first")
