"""From waiting to queued: the backlog, the rule of fairness, the window, and the tickets that the broker gets.

``round_robin`` alone is the rule of fairness: it says whose job goes next. ``window`` says how many may go.
"""

from __future__ import annotations
