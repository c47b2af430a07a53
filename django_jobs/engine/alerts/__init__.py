"""Alarms: what is wrong with the system, found by rules, stored, and told in sentences.

``rules`` find what is wrong, by the thresholds of the setting. ``records`` writes the rows, as the scheduler's duty.
``reading`` says which alarms a user may know of. ``telling`` puts them into words, and every alarm that was raised or
cleared passes there once.
"""

from __future__ import annotations
