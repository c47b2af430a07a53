"""What a job's handler has done so far, which its next attempt need not do again."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.models.base import StoredModel
from django_jobs.models.job import Job

#: Characters of a step's name.
MAX_NAME = 200


class JobStep(StoredModel):
    """One step of a job that is done, with its result. A later attempt finds it by its name."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps", db_index=False, db_constraint=False)
    #: Counted from 1.
    position = models.PositiveIntegerField()
    #: With its place behind it, where a name comes again: "mail #2". A step that ran beside the handler's own thread
    #: and task has no place. It has the beginning of its digest there: "mail [0123456789ab]".
    name = models.CharField(max_length=MAX_NAME + 20)
    result = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    #: Of the arguments.
    digest = models.CharField(max_length=32, default="", db_default="")
    #: The attempt that did it.
    attempt = models.PositiveIntegerField()
    done_at = models.DateTimeField()
    #: How long it took.
    seconds = models.FloatField(default=0.0, db_default=0.0)

    class Meta:
        ordering = ["position"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="djobs_step_once")]

    def __str__(self) -> str:
        return f"{self.position}. {self.name}"


class JobCheckpoint(StoredModel):
    """A note that a job's handler left for its next attempt."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="saved_checkpoint", db_constraint=False
    )
    data = models.JSONField(encoder=DjangoJSONEncoder)
    attempt = models.PositiveIntegerField()
    saved_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"checkpoint of {self.job_id}"
