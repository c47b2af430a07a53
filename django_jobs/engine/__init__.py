"""The rules of jobs: what may happen to one, who may ask for it, and how it is stored.

The packages build on each other in this order: store, sockets, transitions, job_types, dispatch, submission,
dependencies, execution, insight, control. A package imports those before it and never those behind it; what seems to
need the other direction is a hook (in ``transitions``). ``scheduler`` and ``asynchronous`` stand above them all.
"""

from __future__ import annotations
