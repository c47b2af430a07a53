"""From waiting to queued: the backlog, the turns of organizations, the window, and the tickets that the broker gets."""

from __future__ import annotations
