"""Whether limits, shares, rates and breakers of job types hold, and what they cost.

    createdb flowbench
    export DATABASE_URL=postgres://postgres@127.0.0.1/flowbench REDIS_URL=redis://127.0.0.1:6379/10
    python -m lab.benchmarks.flow concurrency|fairness|rate|breaker|backlog [--small]

Database and Redis are emptied. Each prints a table with the target beside each figure. What must hold exactly is judged
by what the handlers themselves wrote down; the exit code is 1 where it did not. Other targets depend on the machine.
"""
