"""The core knows no I/O, and imports run downwards only."""

import ast
from pathlib import Path

import smarty_gateway

PACKAGE = Path(smarty_gateway.__file__).parent

#: What the core may import from outside: computing, and nothing that reaches the world.
PURE = {
    "abc", "bisect", "collections", "contextlib", "copy", "cryptography", "dataclasses", "decimal",
    "enum", "fastcrc",
    "functools", "hashlib", "heapq",
    "re", "struct", "types", "typing",
}  # fmt: skip

#: From the bottom to the top: a module imports from its own layer and those below.
LAYERS = (
    ("protocol", "safe_text", "exit_status", "signals"),
    ("logs", "fault_log"),
    ("capture",),
    ("sources",),
    ("config",),
    ("state",),
    ("outputs",),
    ("gateway",),
    ("doctor", "simulator"),
    ("commands",),
    ("cli",),
    ("__main__",),
)


def imports_of(path: Path) -> set[str]:
    """Name every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            found.add(str(node.module))
    return found


def test_the_core_imports_nothing_that_reaches_the_world() -> None:
    for path in (PACKAGE / "protocol").glob("*.py"):
        for name in imports_of(path):
            root = name.partition(".")[0]
            assert root in PURE or name.startswith("smarty_gateway.protocol"), f"{path.name} imports {name}"


def test_imports_run_downwards_only() -> None:
    layer_of = {name: level for level, names in enumerate(LAYERS) for name in names}
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "smarty_gateway" and len(parts) > 1:
                assert layer_of[parts[1]] <= layer_of[own], f"{path.name} imports {name}"


def test_the_core_opens_and_prints_nothing() -> None:
    for path in (PACKAGE / "protocol").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "exec", "eval"}, path.name
