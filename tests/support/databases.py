"""The test database as another process must be told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SCHEMES = {
    "django.db.backends.sqlite3": "sqlite",
    "django.db.backends.postgresql": "postgres",
    "django.db.backends.mysql": "mysql",
}


def database_url(config: Mapping[str, Any]) -> str:
    """The ``DATABASE_URL`` of ``connection.settings_dict``."""
    scheme = SCHEMES[config["ENGINE"]]
    if scheme == "sqlite":
        return f"sqlite:///{config['NAME']}"
    user, password, host = (quote(str(config[key]), safe="") for key in ("USER", "PASSWORD", "HOST"))
    credentials = f"{user}:{password}" if password else user
    port = f":{config['PORT']}" if config["PORT"] else ""
    return f"{scheme}://{credentials}@{host}{port}/{quote(str(config['NAME']), safe='')}"
