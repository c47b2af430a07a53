"""Which job waits for which, and which of these links somebody still has to look at."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from django_jobs.models.base import StoredModel
from django_jobs.models.job import Job


class JobDependency(StoredModel):
    """``child`` waits for ``parent``."""

    # No constraints in the database: on MariaDB an open submission of a child would hold a lock on the parent's row and
    # make the parent's end wait for it. Retention removes links together with their jobs.
    child = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="parent_links", db_index=False, db_constraint=False
    )
    parent = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="child_links", db_index=False, db_constraint=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["child", "parent"], name="djobs_dependency_once"),
            # A parent is older than its child, so that no circle can close.
            models.CheckConstraint(condition=Q(parent_id__lt=F("child_id")), name="djobs_dependency_no_circle"),
        ]
        # The children of a parent, page by page.
        indexes = [models.Index(fields=["parent", "child"], name="djobs_dependency_children")]

    def __str__(self) -> str:
        return f"{self.child_id} waits for {self.parent_id}"


class DependencyTask(StoredModel):
    """A job whose relatives must be looked at: it has new parents, or it has children and ended or was deleted.

    The transaction that makes this necessary writes the row, and the one that looks at the relatives deletes it. If a
    process dies in between, the scheduler finds the row.
    """

    job_id = models.BigIntegerField()
    #: Of a family that is larger than a page: its children up to this id have been looked at.
    position = models.BigIntegerField(default=0, db_default=0)
    #: Of a job that was deleted: the status in which it had ended. The links to its children go as they are looked at.
    deleted_as = models.CharField(max_length=12, blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"relatives of {self.job_id}"
