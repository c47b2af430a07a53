"""A process dies, or loses an answer, at every statement and every command of Redis: each verb and duty of the engine.

On a PostgreSQL and a Redis of yours, whose test database and logical database are emptied::

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/mine REDIS_URL=redis://127.0.0.1:6379/9 \\
        pytest lab/faults/crash_points

A run ends with the number of boundaries of each scenario. No list of them is kept: a scenario is played over lines
that count its requests, and then again with a harm at the first, the second and so on, until one play comes to its end
unharmed. ``--randomly-seed`` repeats the order and the engine's own chances.

- ``scenarios/`` says what is done, and what must be true whatever became of it;
- ``boundaries`` and ``lines`` count requests between the process and its servers, and do the harm;
- ``nursery`` and ``processes`` make the process that is harmed;
- ``recovery`` is what a scheduler and a worker do that are started afterwards;
- ``snapshots`` tells endings apart, so that only different ones are recovered from.

Left out is what would show the same again. A kill leaves what is stored, so only those boundaries count after which
something else is stored than before. An answer that is lost inside of a transaction is played with a server that still
believes in the line, and holds its locks for longer than the process knows; outside of one the server holds none, and
the line just breaks. The server's own word decides whether a transaction is open.

The suite runs with the portable store as well, which other databases have most of, when ``DJANGO_JOBS_TEST_STORE`` is
``django_jobs.engine.store.base_jobs.Store``.
"""
