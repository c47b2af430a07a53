"""Whether a process works, for probes: what its rounds noted last, so that no answer waits for anything.

``notes`` is what is noted and told, ``lookouts`` ask database and broker, ``server`` answers at a
port of a worker or scheduler.
"""
