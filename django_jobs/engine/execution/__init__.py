"""What a worker does with a job: claim it, run its handler, renew its lease, and store how it ended.

``outcomes`` says how an attempt can end, and which errors are tried again; ``settle`` makes a change of status of it.
"""

from __future__ import annotations
