"""Reads the imports of a package and finds those that point the wrong way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "django_jobs"
FACE: Final = "__init__"

BASE: Final = frozenset({"exceptions", "statuses", "values", "conf", "pools", "texts"})
STORED: Final = BASE | {"models"}
# The signals are declared at the bottom and sent by the engine.
RULES_OF_WORK: Final = STORED | {"signals", "engine"}
#: What answers requests for files.
PAGES: Final = RULES_OF_WORK | {"downloads"}

#: What the modules of each layer may import of django_jobs, besides their own layer. ``None``: everything.
ALLOWED: Final[dict[str, frozenset[str] | None]] = {
    **dict.fromkeys(BASE, BASE),
    "signals": BASE,
    "downloads": frozenset(),
    "mounted_views": frozenset(),
    "models": BASE,
    "migrations": STORED,
    "engine": STORED | {"signals"},
    "broker": RULES_OF_WORK | {"mounted_views"},
    "realtime": RULES_OF_WORK,
    "health": RULES_OF_WORK,
    "worker": RULES_OF_WORK | {"health"},
    "api": PAGES | {"health", "contrib"},
    "admin": PAGES,
    "management": RULES_OF_WORK | {"worker", "health", "contrib"},
    # The admin's pages have a tag of their own.
    "templatetags": RULES_OF_WORK | {"admin"},
    "checks": RULES_OF_WORK | {"mounted_views"},
    "testing": RULES_OF_WORK,
    # What is for some hosts stands beside the doors and may use them.
    "contrib": RULES_OF_WORK | {"realtime", "health"},
    "tasks": RULES_OF_WORK,
    # The face and the app configuration put the parts together.
    FACE: None,
    "apps": None,
}
#: Who may import a vendor; nobody else, not even for a type.
VENDORS: Final = {
    "rq": "broker",
    "django_rq": "broker",
    "redis": "broker",
    "channels": "realtime",
    "channels_redis": "realtime",
    "opentelemetry": "contrib.opentelemetry",
    "sentry_sdk": "contrib.sentry",
    "engineio": "contrib.socketio",
    "socketio": "contrib.socketio",
    "prometheus_client": "contrib.prometheus",
    "django_tasks": "tasks",
}
#: Inside realtime the route is an edge like the api: what broadcasts must not need it.
EDGE_MODULES: Final = frozenset({"realtime.routing", "realtime.auth"})
#: The rooms of the engine, from the lowest: each imports those before it and never those behind it.
ENGINE: Final = (
    ("timing", "json_storage", "actors", "memory"),
    ("ports",),
    ("store",),
    ("claimed_job", "observers", "deadlines"),
    ("sockets",),
    ("organizations", "access", "scope"),
    ("transitions",),
    ("job_types",),
    ("dispatch",),
    ("submission",),
    ("dependencies",),
    ("batches",),
    ("execution",),
    ("insight",),
    ("alerts",),
    ("control",),
    ("schedules",),
    ("scheduler", "asynchronous", "pausing"),
)
ENGINE_RANK: Final = {name: rank for rank, names in enumerate(ENGINE) for name in names}
#: Exceptions and the face name the types that they carry; at run time they need none of them.
TYPES_ONLY: Final = frozenset({"exceptions"})


@dataclass(frozen=True)
class Import:
    """``module``, an absolute name, is imported at ``line``; ``for_types``: only a type checker sees it."""

    module: str
    line: int
    for_types: bool


def wrong_imports(package: Path) -> list[str]:
    """One line of text for each import below ``package`` that breaks a rule, in the order of the files."""
    return [
        f"{path.relative_to(package)}:{imported.line}: {reason}"
        for path in sorted(package.rglob("*.py"))
        for imported in imports_of(path, package)
        if (reason := verdict(".".join(path.relative_to(package).with_suffix("").parts), imported))
    ]


def verdict(importer: str, imported: Import) -> str | None:
    """Why ``importer`` (its name inside django_jobs) must not have this import; None when it may."""
    layer = importer.partition(".")[0]
    if layer not in ALLOWED:
        return f"{layer} has no place in the layers; give it one"
    root, _, inner = imported.module.partition(".")
    if root in VENDORS and not f"{importer}.".startswith(f"{VENDORS[root]}."):
        return f"{layer} imports {root}, which only {VENDORS[root]} may"
    if root != PACKAGE or (imported.for_types and layer in TYPES_ONLY):
        return None
    return verdict_inside(importer, inner)


def verdict_inside(importer: str, imported: str) -> str | None:
    layer = importer.partition(".")[0]
    target = imported.partition(".")[0] or FACE
    if target == layer == "engine":
        return verdict_in_engine(importer, imported)
    if target == layer:
        edges = EDGE_MODULES | {f"{module}.__init__" for module in EDGE_MODULES}
        is_edge = any(f"{imported}.".startswith(f"{edge}.") for edge in EDGE_MODULES)
        if layer == "realtime" and is_edge and importer not in edges:
            return f"{importer} imports {imported}, which is an edge"
        return None
    allowed = ALLOWED[layer]
    if allowed is None or target in allowed:
        return None
    return f"{layer} imports {'the face of the package' if target == FACE else target}"


def verdict_in_engine(importer: str, imported: str) -> str | None:
    room, other = (name.partition(".")[2].partition(".")[0] for name in (importer, imported))
    if room == FACE:
        return "engine/__init__.py imports nothing: it is the table of contents"
    for name in (room, other):
        if name not in ENGINE_RANK:
            return f"engine.{name} has no place in the engine's order; give it one"
    if ENGINE_RANK[other] > ENGINE_RANK[room]:
        return f"engine.{room} imports engine.{other}, which stands above it"
    return None


def circles(package: Path) -> list[list[str]]:
    """Sets of modules that import each other, wherever the imports stand. The face and ``apps`` put all together."""
    graph = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(f".{FACE}"): {
            imported.module.partition(".")[2]
            for imported in imports_of(path, package)
            if imported.module.startswith(f"{PACKAGE}.")
        }
        for path in package.rglob("*.py")
    }
    graph = {name: targets for name, targets in graph.items() if name not in {FACE, "apps"}}
    reached = {name: reachable(name, graph) for name in graph}
    found = {frozenset(other for other in graph if other in reached[name] and name in reached[other]) for name in graph}
    return sorted(sorted(names) for names in found if names)


def reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph.get(name, ()))
    while waiting:
        other = waiting.pop()
        if other in graph and other not in seen:
            seen.add(other)
            waiting += graph[other]
    return seen


#: Where people and machines come in. What the scope of their user shows is all they see; they ask the policy nothing.
DOORS: Final = ("admin", "api", "health", "management", "realtime", "tasks", "templatetags")
#: What doors may take from the module of the policy: it tells nothing of what the user who asks may see.
ABOUT_NO_SCOPE: Final = frozenset(
    {"complain", "is_active", "key_in", "may_hide_jobs", "may_start", "may_submit", "report", "unknown_organization"}
)


def policy_asked(package: Path) -> list[str]:
    """One line of text for each place where a door asks the access policy, or narrows rows by its answer."""
    found = [path for door in DOORS for path in sorted((package / door).rglob("*.py"))]
    asked = [(path, name) for path in found for name in policy_names(ast.parse(path.read_text()))]
    return [f"{path.relative_to(package)}: {name}" for path, name in asked]


def policy_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="django_jobs.engine.access", names=names):
                yield from (alias.name for alias in names if alias.name not in ABOUT_NO_SCOPE)
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names if alias.name in ("access", "AccessPolicy"))
            case ast.Attribute(attr="visible_to" | "organizations_of" as name):
                yield name


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """Every import of the file, wherever it stands, ``import_module`` and ``import_string`` of a literal included."""
    tree = ast.parse(path.read_text(), str(path))
    parents = (PACKAGE, *path.relative_to(package).parent.parts)
    type_lines = {line for node in ast.walk(tree) if is_type_checking(node) for line in lines_of_body(node)}
    for node in ast.walk(tree):
        for module in modules_of(node, parents, package):
            yield Import(module, node.lineno, node.lineno in type_lines)  # type: ignore[attr-defined]


def modules_of(node: ast.AST, parents: tuple[str, ...], package: Path) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = ".".join([*parents[: len(parents) - level + 1], *([module] if module else [])]) if level else module
            for alias in names:
                yield resolved(str(base), alias.name, package)
        case ast.Call(
            func=ast.Name(id="import_module" | "import_string") | ast.Attribute(attr="import_module" | "import_string"),
            args=[ast.Constant(value=str(module)), *_],
        ):
            yield module


def resolved(base: str, name: str, package: Path) -> str:
    """What ``from base import name`` imports: the module of that name if there is one, else ``base``."""
    if base.partition(".")[0] != PACKAGE:
        return base
    candidate = package.joinpath(*base.split(".")[1:], name)
    return f"{base}.{name}" if candidate.is_dir() or candidate.with_suffix(".py").is_file() else base


def is_type_checking(node: ast.AST) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
    return False


def lines_of_body(node: ast.AST) -> Iterator[int]:
    assert isinstance(node, ast.If)
    for statement in node.body:
        yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
