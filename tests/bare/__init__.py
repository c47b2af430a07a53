"""A host project that has the jobs alone: no API, no websockets, no admin, no URLs. See test_lean_workers.py."""
