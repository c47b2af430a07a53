"""Batches over HTTP. Each view reads the request, calls one verb of the engine, and answers."""

from __future__ import annotations
