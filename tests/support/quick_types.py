"""What a worker's child knows of how long handlers run, and so how many jobs it takes at once."""

from __future__ import annotations

from tests.support import verbs
from tests.support.verbs import Child


def make_room(child: Child, job_type: str, count: int) -> None:
    """Let the child know jobs of the type as so quick that it takes so many at once, at most 60."""
    child.state.prefetch.ran(job_type, verbs.AHEAD_SECONDS / (count - 0.5) - verbs.JOB_OVERHEAD_SECONDS)
