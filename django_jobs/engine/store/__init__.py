"""What a database does for the engine.

``database.store()`` is the object that is asked: ``base_*`` is right on every vendor; ``postgresql_*``, ``mariadb`` and
``sqlite`` override what they do better, or cannot do. Another database is another such class, named in ``database``. No
other package asks which vendor a database is of.
"""

from __future__ import annotations
