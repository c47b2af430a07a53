"""Whether a process works, for probes: what its rounds noted last, so that no answer waits for anything.

``notes`` is what is noted, ``lookouts`` are the threads that ask database and broker, ``probes`` makes answers of it,
and ``server`` gives them at a port of a worker or scheduler.
"""
