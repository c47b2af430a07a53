"""The example project's URLs, which mount everything that django_jobs has."""

from __future__ import annotations

from example_project.urls import urlpatterns

__all__ = ["urlpatterns"]
