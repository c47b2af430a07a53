"""Rules that submit jobs at times: when they fire, making and changing them, and firing."""

from __future__ import annotations
