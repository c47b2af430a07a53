"""From waiting to queued: the backlog, the rule of fairness, the window, and the tickets that the broker gets.

``turns`` alone is the rule of fairness: it says whose job goes next. ``window`` says how many may go.
The backlog is walked by lanes: a lane is what one organization has waiting of one job type with one priority.
"""

from __future__ import annotations
