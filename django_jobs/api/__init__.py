"""The engine's verbs over HTTP, in the conventions of the REST framework.

``jobs`` has the routes of jobs, ``job_types`` those of job types, ``methods`` the quickstart's calls, and ``schema``
describes all of them to drf-spectacular. The other modules are what these share.
"""
