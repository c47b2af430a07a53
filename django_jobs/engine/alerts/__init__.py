"""Alarms: what is wrong with the system, found by rules, stored, and told in sentences.

``rules`` has one module for each rule; ``registry`` names them. ``evaluation`` is the scheduler's duty, ``records``
writes the rows, ``announcements`` is where every alarm passes that was raised or cleared, ``reading`` reads those that
are told, ``seen_alerts`` says what a user may know of them, and ``sentences`` and ``advice`` put it into words.
"""

from __future__ import annotations
