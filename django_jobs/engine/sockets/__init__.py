"""One-time tickets that open a websocket, and the seats that limit how many websockets a user has open."""

from __future__ import annotations
