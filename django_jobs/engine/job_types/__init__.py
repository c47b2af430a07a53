"""What a kind of job is: its declaration in code, its handler, its parameters and their schema.

``types`` lists the options of a job type once; the admin's form, REST and the stored rows follow that list.
"""

from __future__ import annotations
