"""The quickstart's calls: the same verbs as REST has, by other names and in other shapes."""

from __future__ import annotations
