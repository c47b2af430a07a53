"""Several machines on this one: network namespaces with addresses of their own, and processes that see only their own.

The servers stand on one of them, the workers on others, each behind a line of its own that can be cut. Needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from tests.support.redis_servers import RedisProcess

SERVER: Final = "server"
#: The address of the machine that the servers stand on. Nothing of it is seen outside of the namespaces.
SERVER_ADDRESS: Final = "10.213.0.1"
#: A machine has a name and process ids of its own; what is killed with its first process is all that runs on it.
_ALONE: Final = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts")
_NAMED: Final = 'hostname "$0" && exec "$@"'


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check, timeout=30)


class Machines:
    """A machine for the servers, and some that are joined to it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._mark = f"djobs{os.getpid()}"
        self.redis = RedisProcess(['save ""'], host=SERVER_ADDRESS, prefix=self.on_server())

    def make(self) -> None:
        """Make the namespaces and the lines between them, and start a Redis."""
        hub = self._namespace(SERVER)
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "hub", "type", "bridge")
        _ip("-n", hub, "address", "add", f"{SERVER_ADDRESS}/24", "dev", "hub")
        for device in ("hub", "lo"):
            _ip("-n", hub, "link", "set", device, "up")
        for number, name in enumerate(self.names):
            own = self._namespace(name)
            _ip("netns", "add", own)
            _ip("-n", hub, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", own)
            _ip("-n", hub, "link", "set", name, "master", "hub", "up")
            _ip("-n", own, "address", "add", f"10.213.0.{number + 11}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", own, "link", "set", device, "up")
        self.redis.start()

    def _namespace(self, name: str) -> str:
        return f"{self._mark}-{name}"

    def on_server(self) -> tuple[str, ...]:
        """Return what to put before a command that is to run beside the servers."""
        return ("ip", "netns", "exec", self._namespace(SERVER))

    def on(self, name: str) -> tuple[str, ...]:
        """Return what to put before a command that is to run on this machine."""
        return ("ip", "netns", "exec", self._namespace(name), *_ALONE, "sh", "-c", _NAMED, name)

    def cut_off(self, name: str) -> None:
        """Cut a machine's line: what is sent to it or by it is lost, and nobody is told."""
        _ip("-n", self._namespace(SERVER), "link", "set", name, "down")

    def heal(self, name: str) -> None:
        """Mend the line."""
        _ip("-n", self._namespace(SERVER), "link", "set", name, "up")

    def close(self) -> None:
        """End the Redis, and remove the namespaces."""
        self.redis.close()
        for name in [*self.names, SERVER]:
            _ip("netns", "delete", self._namespace(name), check=False)
