"""Servers that move while jobs run: another PostgreSQL is promoted, another Redis takes over, a machine is cut off.

Run it with ``pytest lab/faults/moving_servers``. It needs the programs of PostgreSQL, Redis and PgBouncer, and root
for the network namespaces. With ``-s`` each test prints how long it took until work went on.
"""
