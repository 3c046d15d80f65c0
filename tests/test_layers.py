"""The architecture in one statement: which part may import what, and what only some parts may import.

From the bottom to the top (CONTRIBUTING.md says what each part is for):

* The core computes. It knows no socket, file, clock, thread or log.
* The history computes, too: quarter hours, sums, costs.
* Captures, sources, configuration and state know the core. Outputs know the state, and nothing of the gateway
  that feeds them.
* The gateway knows outputs by their protocol alone; only its wiring knows which kinds there are.
* A command is a module that no other command imports; what commands share is in modules beside them.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import smarty_gateway
from smarty_gateway.commands.usage import COMMANDS

PACKAGE = Path(smarty_gateway.__file__).parent
TESTS = Path(__file__).parent

#: From the bottom to the top: each part may import the parts named, and itself.
BASE = {"exit_status", "safe_text", "signals"}
CORE = {*BASE, "protocol"}
PARTS = {
    "exit_status": set[str](),
    "signals": set[str](),
    "protocol": {"exit_status"},
    "safe_text": {"protocol"},
    "logs": {"safe_text"},
    "fault_log": {"protocol"},
    "sources": CORE,
    "capture": {*CORE, "sources"},
    "history": CORE,
    "config": {*CORE, "history", "sources"},
    "library": {*CORE, "config", "sources"},
    "state": {*CORE, "config", "history"},
    "languages": set[str](),
    "charts": {*CORE, "config", "history", "languages"},
    "outputs": {*CORE, "config", "fault_log", "history", "logs", "state"},
    "pages": {*CORE, "charts", "config", "history", "languages", "outputs", "state"},
    "web": {
        *CORE, "charts", "config", "fault_log", "history", "languages", "logs", "outputs", "pages", "state",
    },
    "gateway": {*CORE, "config", "fault_log", "history", "logs", "outputs", "sources", "state", "web"},
    "pool": {*CORE, "config", "fault_log", "history", "logs", "outputs", "state", "web"},
    "doctor": {*CORE, "config", "sources"},
    "simulator": {*CORE, "history", "sources"},
    "setup": {*CORE, "config", "doctor", "logs", "outputs", "sources"},
    "service": {*CORE, "config", "setup", "sources"},
    "commands": {
        *CORE, "capture", "charts", "config", "doctor", "gateway", "history", "languages", "library", "logs",
        "outputs", "pages", "pool", "service", "setup", "simulator", "sources", "state",
    },
    "cli": {*CORE, "commands"},
    "__main__": {"cli"},
}  # fmt: skip

#: What the core may import from outside: computing, and nothing that reaches the world.
PURE = {
    "abc", "bisect", "calendar", "collections", "contextlib", "cryptography", "csv", "dataclasses",
    "datetime", "decimal", "enum", "fastcrc", "functools", "itertools", "re",
    "struct", "types", "typing", "unicodedata", "zlib", "zoneinfo",
}  # fmt: skip

#: Libraries that take long to load or reach far, and what may import them: nothing else needs to have them.
HEAVY = {
    "cryptography": ("protocol/", "capture/", "simulator/"),
    "bottle": ("web/",),
    "cairosvg": ("charts/",),
    "fastcrc": ("protocol/checksum.py",),
    "jinja2": ("pages/",),
    "prometheus_client": ("web/exposition.py",),
    "pygal": ("charts/",),
    "waitress": ("web/connections.py", "web/server.py", "web/turns.py"),
    "paho": ("outputs/mqtt/",),
    "pika": ("pool/",),
    "psycopg": ("pool/",),
    "rich": ("outputs/", "gateway/wiring.py", "commands/progress.py", "commands/verify.py"),
    "serial": ("sources/",),
    "sqlite3": (
        "state/",
        "outputs/mqtt/",
        "outputs/outbox.py",
        "gateway/state_keeper.py",
        "gateway/history_keeper.py",
    ),
    "yaml": ("config/",),
}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
CORE_MODULES = [module for module in MODULES if module.startswith(("protocol/", "history/"))]
COMMAND_MODULES = {f"commands/{name.replace('-', '_')}.py" for name in COMMANDS}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text("utf-8"))


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return every module that one imports, also inside functions, as `smarty_gateway.sources.tcp`."""
    return frozenset(_imports_of(module))


def _imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where they lead"
            name = str(node.module)
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names if _is_module(f"{name}.{alias.name}"))


def _is_module(name: str) -> bool:
    return f"{name.replace('.', '/')}.py".removeprefix("smarty_gateway/") in MODULES


def own_imports(module: str) -> Iterator[str]:
    """Yield the modules of this package that one imports, as `sources/tcp.py`; the public API is none."""
    for name in imports_of(module):
        if name.startswith("smarty_gateway."):
            yield f"{name.removeprefix('smarty_gateway.').replace('.', '/')}.py"


def part_of(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_a_part_imports_only_the_parts_below_that_it_needs(module: str) -> None:
    own = part_of(module)
    for other in map(part_of, own_imports(module)):
        assert other == own or other in PARTS[own], f"{module} imports {other}"


def test_the_order_of_the_parts_has_no_circle() -> None:
    below: set[str] = set()
    for part, allowed in PARTS.items():
        assert allowed <= below, f"{part} is listed below {allowed - below}"
        below.add(part)


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_imports_nothing_that_reaches_the_world(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports_of(module)}
    assert roots <= {*PURE, "smarty_gateway"}


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_opens_and_prints_nothing(module: str) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_asks_no_clock(module: str) -> None:
    used = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not used & {"now", "today", "utcnow"}


@pytest.mark.parametrize("module", sorted(COMMAND_MODULES))
def test_no_module_imports_a_command(module: str) -> None:
    assert [other for other in MODULES if other != module and module in own_imports(other)] == []


def test_only_the_wiring_knows_the_kinds_of_outputs() -> None:
    for module in MODULES:
        if part_of(module) == "gateway" and module != "gateway/wiring.py":
            used = {other for other in own_imports(module) if part_of(other) in {"outputs", "web"}}
            assert used <= {"outputs/output.py"}, module


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_imported_only_where_it_is_named(library: str) -> None:
    for module in MODULES:
        if any(name.partition(".")[0] == library for name in imports_of(module)):
            assert module.startswith(HEAVY[library]), module


def test_few_modules_stand_outside_a_package() -> None:
    """A newcomer sees the parts, and not a heap of modules that do not say whose they are."""
    assert len([module for module in MODULES if "/" not in module]) <= 9
    assert len(list(TESTS.glob("test_*.py"))) <= 8
