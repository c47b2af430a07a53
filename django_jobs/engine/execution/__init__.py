"""What a worker does with a job: claim it, run its handler, renew its lease, and store how it ended.

``retry_policy`` says which errors are tried again and when; ``settle`` turns an outcome into a change of status.
"""

from __future__ import annotations
