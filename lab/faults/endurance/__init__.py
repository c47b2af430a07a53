"""A long run under random faults: mixed jobs, several supervisors, servers of its own, and a judgment at the end.

``pytest lab/faults/endurance`` runs for a minute, ``python -m lab.faults.endurance --seconds 600 --seed 7`` ten.
A seed gives the same faults in the same order at the same moments; what they hit is the machine's choice.

- ``mix`` and ``handlers`` are the jobs, ``submitter`` a process that submits, cancels and retries them.
- ``world`` has the servers, the lines to them and the workers; ``faults`` is what happens to these, ``chaos`` when.
- ``judgment`` says what is wrong afterwards, ``report`` prints it all.
"""
