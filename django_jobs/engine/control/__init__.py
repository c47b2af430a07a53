"""What is done to jobs that exist: cancel, retry, delete, operations; what follows when tenants go or time passes."""

from __future__ import annotations
