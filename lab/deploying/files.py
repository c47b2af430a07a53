"""What the files of docs/deploying say, read as their programs read them."""

from __future__ import annotations

import configparser
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from honcho.environ import parse_procfile

from django_jobs.conf import DEFAULTS
from tests.support.verbs import STOP_MARGIN_SECONDS

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = ROOT / "docs" / "deploying"
UNITS: Final = sorted((FILES / "systemd").glob("*.service"))
MANIFESTS: Final = sorted((FILES / "kubernetes").glob("*.yaml"))
#: A worker has left after so many seconds, whatever its handlers do.
WORKER_SECONDS: Final = DEFAULTS["SHUTDOWN_GRACE_SECONDS"] + STOP_MARGIN_SECONDS
#: What compose.yaml wants to be told.
ENVIRON: Final = {"SECRET_KEY": "a-secret", "ALLOWED_HOSTS": "shop.example.com", "POSTGRES_PASSWORD": "a-password"}
#: Where the units expect the project's programs.
VENV: Final = "/srv/shop/.venv/bin/"


class _OneOfEach(dict[str, Any]):
    """Keeps all lines of a key that a unit may repeat."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit(path: Path) -> configparser.RawConfigParser:
    """A unit's sections and values."""
    parser = configparser.RawConfigParser(dict_type=_OneOfEach, strict=False, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text())
    return parser


def dockerfile() -> list[str]:
    """The instructions of the last stage, each on one line."""
    text = (FILES / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]


def compose(**environ: str) -> Any:
    """What Compose makes of its file."""
    command = ["docker-compose", "--file", str(FILES / "compose.yaml"), "config", "--format", "json"]
    run = subprocess.run(command, env={**environ, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ValueError(run.stderr)
    return json.loads(run.stdout)


def manifests() -> list[dict[str, Any]]:
    """All objects for Kubernetes."""
    return [found for path in MANIFESTS for found in yaml.safe_load_all(path.read_text())]


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each container for Kubernetes, behind the specification of its pod."""
    for found in manifests():
        if "template" in found.get("spec", {}):
            pod = found["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


def procfile() -> dict[str, str]:
    return dict(parse_procfile((FILES / "Procfile").read_text()).processes)


def commands() -> dict[str, list[str]]:
    """Every command line of the files, by where it stands."""
    # A shell that stayed would take the signals.
    lines = {name: line.removeprefix("exec ").replace("$PORT", "8000") for name, line in procfile().items()}
    found = {f"Procfile {name}": shlex.split(line) for name, line in lines.items()}
    for path in UNITS:
        found[path.name] = unit(path)["Service"]["ExecStart"].removeprefix(VENV).split()
    for name, service in compose(**ENVIRON)["services"].items():
        if service["image"] == "shop":
            found[f"Compose {name}"] = service["command"]
    for _, container in containers():
        found[f"Kubernetes {container['name']}"] = container["args"]
    (command,) = (line for line in dockerfile() if line.startswith("CMD "))
    found["Dockerfile"] = json.loads(command.removeprefix("CMD "))
    return found


def seconds(text: str) -> int:
    """Compose's duration."""
    minutes, _, rest = text.rpartition("m")
    return 60 * int(minutes or 0) + int(rest.rstrip("s") or 0)
