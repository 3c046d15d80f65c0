"""`verify`: runs test vectors through the code that reads meters, and prints which hold."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import smarty_gateway
from smarty_gateway.commands.options import Subparsers, add_verbose
from smarty_gateway.commands.vector_files import Case, Outcome, VectorFileError, load_cases
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.fields import print_fields
from smarty_gateway.safe_text import printable

_PACKAGE: Final = Path(smarty_gateway.__file__).resolve().parent
#: Inside the package where it is installed, beside it in a source tree.
_INSTALLED: Final = (_PACKAGE / "vectors", _PACKAGE.parent / "vectors")
_SCHEMA: Final = "schema.json"


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "verify",
        help="run test vectors",
        description="Runs test vectors and prints which hold: those of smarty-gateway, NIST's "
        "gcmDecrypt128.rsp, and published frames and telegrams.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="files or folders (default: the installed vectors)",
    )
    parser.add_argument(
        "--format", choices=["table", "json"], default="table", help="how to print (default: table)"
    )
    add_verbose(parser, "show failing cases field by field")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run the vectors.

    Raises:
        VectorFileError: a file cannot be read, or its layout is not known.
    """
    # All files are read first, so that a wrong one is reported at once and not after minutes of work.
    loaded = [(path, load_cases(path)) for path in _files(args.paths or [_installed_vectors()])]
    results = [(path, case, _run(case)) for path, cases in loaded for case in cases]
    failed = [(path, case, outcome) for path, case, outcome in results if not outcome.passed]
    if args.format == "json":
        _print_json(results)
    else:
        _print_table(results)
        for path, case, outcome in failed:
            print(printable(f"failed {path.name} {case.id}: expected {case.expect}, got {outcome.got}"))
            if args.verbose:
                print_fields(outcome.fields)
    return ExitStatus.REJECTED if failed else ExitStatus.GOOD


def _run(case: Case) -> Outcome:
    try:
        return case.run()
    except Exception as error:  # noqa: BLE001 - any exception of the core is a bug, and a failed case
        return Outcome(f"a crash: {error!r}", passed=False)


def _installed_vectors() -> Path:
    for folder in _INSTALLED:
        if (folder / "decoded.json").exists():
            return folder
    raise VectorFileError("the vectors were not installed with the package; name a file or folder")


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix in (".json", ".rsp") and p.name != _SCHEMA)
            if not found:
                raise VectorFileError(
                    f"{path}: there is no file of test vectors (.json or .rsp) in this folder"
                )
            files += found
        else:
            files.append(path)
    return files


_Result = tuple[Path, Case, Outcome]


def _print_json(results: list[_Result]) -> None:
    cases = [
        {
            "id": case.id,
            "file": path.name,
            "expect": case.expect,
            "got": outcome.got,
            "passed": outcome.passed,
        }
        for path, case, outcome in results
    ]
    passed = sum(outcome.passed for _, _, outcome in results)
    # In ASCII: names in a file may hold control characters beyond it, which JSON need not escape.
    json.dump({"passed": passed, "failed": len(results) - passed, "cases": cases}, sys.stdout)
    sys.stdout.write("\n")


def _print_table(results: list[_Result]) -> None:
    from rich.console import Console  # noqa: PLC0415 - the JSON form does without
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    passed: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for path, case, outcome in results:
        for flag in ("", *case.flags):  # "" counts every case of the file once
            (passed if outcome.passed else failed)[path.name, flag] += 1
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "flag"):
        table.add_column(heading)
    for heading in ("passed", "failed"):
        table.add_column(heading, justify="right")
    for name, flag in sorted(passed.keys() | failed.keys()):
        style = "red" if failed[name, flag] else None
        cells = ("" if flag else name, flag or "all", str(passed[name, flag]), str(failed[name, flag]))
        table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
    Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table)
    good = sum(outcome.passed for _, _, outcome in results)
    print(f"{good} passed, {len(results) - good} failed")
