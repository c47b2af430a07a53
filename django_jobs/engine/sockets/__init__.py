"""What the database knows of websockets: one-time tickets to open one, and the places that open ones take."""

from __future__ import annotations
