"""What help shows below the options of each command, and what wrong usage is answered with."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError

_PROGRAM: Final = "smarty-gateway"
#: Before any command.
GLOBAL_OPTIONS: Final = ("-h", "--help", "-V", "--version")
#: Whatever other programs call these options. What follows them is never repeated.
_KEY_OPTION: Final = re.compile(r"-.*key(?!s$)|-[ae]k$|--g[au]e?k$")
_PASSWORD_OPTION: Final = re.compile(r"-.*(pass|pw|secret|token)|-P$")
_WHY_NEVER: Final = "is never an argument, because other users of this machine can read it"
_INTERRUPTED: Final = {ExitStatus.INTERRUPTED: "Ctrl-C"}
_INPUT: Final = "wrong usage, or no such input"
_FILES: Final = {ExitStatus.UNUSABLE_FILE: "gateway.yaml or keys.yaml cannot be used"}
_STATE: Final = {ExitStatus.UNUSABLE_FILE: "gateway.yaml, keys.yaml or the state folder cannot be used"}


class WrongUsageError(GatewayError):
    """The command line does not follow the usage."""


@dataclass(frozen=True)
class Usage:
    """The end of a command's help.

    Attributes:
        examples: what to type behind the name of the program.
        good: what exit status 0 means.
        statuses: the others that the command can end with.
        wrong: what exit status 2 means.
        default: the subcommand that need not be typed.
    """

    examples: Sequence[str]
    good: str
    statuses: Mapping[ExitStatus, str] = field(default_factory=dict)
    wrong: str = "wrong usage"
    default: str | None = None

    def __str__(self) -> str:
        """Return the text."""
        examples = "".join(f"  {_PROGRAM} {example}\n" for example in self.examples)
        statuses = {ExitStatus.GOOD: self.good, ExitStatus.WRONG_USAGE: self.wrong, **self.statuses}
        rows = "".join(f"  {status:<5}{statuses[status]}\n" for status in sorted(statuses))
        return f"\nexamples:\n{examples}\nexit status:\n{rows}"


#: In the order in which a newcomer needs them; each is a module of that name.
COMMANDS: Final = {
    "demo": Usage(
        ("demo", "demo --seconds 20 --format json", "demo --pool"),
        "its time is over, or Ctrl-C ended it",
        {ExitStatus.REJECTED: "a part of it failed"},
        "wrong usage, or a package that --pool needs is missing",
    ),
    "setup": Usage(
        ("setup", "setup --folder /etc/smarty-gateway"),
        "the first reading was shown, and the files are written",
        {
            ExitStatus.REJECTED: "no meter is heard, its key is missing, or key or broker were refused",
            **_FILES,
            **_INTERRUPTED,
        },
        "wrong usage, or an option is missing where there is no terminal",
    ),
    "run": Usage(
        (
            "run --source /dev/ttyUSB0 --keys keys.yaml \\\n      --mqtt mqtt://localhost",
            "run --config /etc/smarty-gateway/gateway.yaml",
        ),
        "a signal stopped it, or all recordings were good",
        {
            ExitStatus.REJECTED: "a part of it failed; of recordings: something was rejected, or\n"
            "       there was no valid telegram",
            **_STATE,
        },
        _INPUT,
    ),
    "service": Usage(
        ("service install --dry-run", "service install", "service uninstall"),
        "the service runs, or is removed; with --dry-run: all was shown",
        {
            ExitStatus.REJECTED: "the service did not start, or the system cannot be changed",
            ExitStatus.UNUSABLE_FILE: "gateway.yaml cannot be used, or not by a service",
            **_INTERRUPTED,
        },
    ),
    "check": Usage(
        ("check", "check --config /etc/smarty-gateway/gateway.yaml"),
        "all is good",
        {**_FILES, **_INTERRUPTED},
    ),
    "doctor": Usage(
        ("doctor /dev/ttyUSB0 --keys keys.yaml", "doctor tcp://192.168.1.20:2001"),
        "nothing is wrong",
        {ExitStatus.REJECTED: "something is wrong, as the report says", **_FILES},
        _INPUT,
    ),
    "decode": Usage(
        ("decode monday.capture --keys keys.yaml", "decode --format json - < monday.bin"),
        "every telegram was accepted",
        {
            ExitStatus.REJECTED: "something was rejected, or there was no telegram",
            **_FILES,
            **_INTERRUPTED,
        },
        _INPUT,
    ),
    "verify": Usage(
        ("verify", "verify vectors/refused.json -v"),
        "all vectors hold",
        {ExitStatus.REJECTED: "a vector failed", **_INTERRUPTED},
        _INPUT,
    ),
    "capture": Usage(
        (
            "capture /dev/ttyUSB0 monday.capture --seconds 60",
            "capture /dev/ttyUSB0 report.capture --redact --telegrams 5",
        ),
        "something was recorded",
        {ExitStatus.REJECTED: "nothing came", **_FILES},
        _INPUT,
    ),
    "history": Usage(
        (
            "history",
            "history house --day 2026-10-25",
            "history house --month 2026-10 --plot october.svg",
            "history house --year 2026 --cost",
            "history levels",
            "history peaks",
        ),
        "something was printed, imported or exported, or no quarter hour differs",
        {
            ExitStatus.REJECTED: "there is no history yet, nothing was read, or `compare` found a\n"
            "       difference",
            **_STATE,
            **_INTERRUPTED,
        },
        "wrong usage, no such meter or file, or an extra is missing",
        default="show",
    ),
    "report": Usage(
        (
            "report",
            "report house --month 2026-10",
            "report --last month --output october.html",
            "report --mail --last day --language fr",
        ),
        "the report is written or sent",
        {
            ExitStatus.REJECTED: "nothing is known of this time, or no mail could be sent",
            ExitStatus.UNUSABLE_FILE: "gateway.yaml, the state folder or a password file cannot be used",
            **_INTERRUPTED,
        },
        "wrong usage, no such meter, or an extra is missing",
    ),
    "pool": Usage(
        (
            "pool check",
            "pool declare --edge edge-barn",
            "pool add-keys operator.csv",
            "pool run --worker worker-1",
        ),
        "nothing is missing, the keys are added, or a signal stopped the worker",
        {
            ExitStatus.REJECTED: "something is missing or dangerous in the cluster or the database, one\n"
            "       of them does not answer, or a part of the worker failed",
            ExitStatus.UNUSABLE_FILE: "pool.yaml, a key file, a password file or the state folder cannot\n"
            "       be used, or the extra is missing",
            **_INTERRUPTED,
        },
        "wrong usage, or there is no pool.yaml",
    ),
    "simulate": Usage(
        (
            "simulate --link /tmp/p1 --write-keys dummy.yaml",
            "simulate --kind belgium --tcp 2001",
            "simulate --forward mqtt://edge@a --password-file pw --meters 99",
            "simulate --days 400 --into demo\n  smarty-gateway history --state demo",
        ),
        "its time is over, a signal stopped it, or the history is written",
        {
            ExitStatus.REJECTED: "a node of the pool did not acknowledge all frames",
            ExitStatus.UNUSABLE_FILE: "the password file cannot be used",
        },
    ),
    "healthcheck": Usage(
        ("healthcheck", "healthcheck --live"),
        "all is well",
        {
            ExitStatus.REJECTED: "something is wrong, or the gateway does not answer",
            ExitStatus.UNUSABLE_FILE: "gateway.yaml or the password file cannot be used",
            **_INTERRUPTED,
        },
        "wrong usage, or gateway.yaml has no `http:`",
    ),
    "reset-counter": Usage(
        ("reset-counter house", "reset-counter SAG1030700012345"),
        "lower frame counters of the meter are accepted",
        {ExitStatus.REJECTED: "the state file is locked", **_STATE, **_INTERRUPTED},
        "wrong usage, or no such meter",
    ),
    "forget": Usage(
        ("forget house",),
        "the meter is forgotten",
        {ExitStatus.REJECTED: "the state file is locked", **_STATE, **_INTERRUPTED},
        "wrong usage, no such meter, or no connection to the broker",
    ),
    "completion": Usage(
        (
            "completion bash >> ~/.bashrc",
        ),
        "the script was printed",
    ),
}  # fmt: skip

#: Is printed below the list of commands.
START_HERE: Final = f"""
start here:
  {_PROGRAM} demo                        simulated meters; needs nothing
  {_PROGRAM} setup                       finds the meter, asks for the key
  {_PROGRAM} doctor /dev/ttyUSB0         what a port sends, what is wrong
  {_PROGRAM} run --source /dev/ttyUSB0   its readings, in this terminal
"""


class Parser(argparse.ArgumentParser):
    """Takes no abbreviated option, and leaves it to `main` to print errors, as they repeat what was typed.

    Attributes:
        ending: is printed below the help.
    """

    ending: Usage | str = ""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise WrongUsageError."""
        raise WrongUsageError(f"{message}; {self.prog} --help shows how")

    def format_help(self) -> str:
        """Return the help with its ending."""
        return f"{super().format_help()}{self.ending}"

    def with_default(self, arguments: Sequence[str]) -> Sequence[str]:
        """Return the arguments of this command, with the subcommand that was left out."""
        default = self.ending.default if isinstance(self.ending, Usage) else None
        typed = arguments[0] if arguments else ""
        if default is None or typed in self._subcommands() or typed in self._option_string_actions:
            return arguments
        return [default, *arguments]

    def _subcommands(self) -> "Mapping[str, Parser]":
        if self._subparsers is None:
            return {}
        groups = self._subparsers._group_actions  # noqa: SLF001 - argparse has no public list
        return {name: parser for group in groups for name, parser in dict(group.choices or {}).items()}

    def require_known_options(self, arguments: Sequence[str]) -> None:
        """Raise WrongUsageError at an option that the command does not have; its value is not repeated."""
        subcommands = self._subcommands()
        if arguments and arguments[0] in subcommands:
            subcommands[arguments[0]].require_known_options(arguments[1:])
            return
        known = self._option_string_actions
        for word in arguments:
            name = word.partition("=")[0]
            if word == "--":
                return
            if not re.match(r"--?[^\W\d]", word) or name in known or (name[1] != "-" and name[:2] in known):
                continue
            raise WrongUsageError(_no_option(self.prog, name, known))


def no_command(word: str) -> WrongUsageError:
    """Return what is answered to a first word that is not a command."""
    if word.startswith("-"):
        name = word.partition("=")[0]
        advice = (
            _secret_advice(_PROGRAM, name, ()) or f"options follow the command: {_PROGRAM} COMMAND {name} …"
        )
        return WrongUsageError(f"no option {name} before the command: {advice}")
    close = _closest(word, (*COMMANDS, "help", *GLOBAL_OPTIONS))
    return WrongUsageError(f"no command {word!r}{close} {_PROGRAM} --help lists all commands")


def _no_option(program: str, name: str, known: Iterable[str]) -> str:
    advice = _secret_advice(program, name, known)
    if advice is not None:
        return f"no option {name}: {advice}"
    return f"no option {name}{_closest(name, known)} {program} --help lists all options"


def _secret_advice(program: str, name: str, known: Iterable[str]) -> str | None:
    """Return where a secret belongs, if that is what follows an option."""
    if _KEY_OPTION.match(name):
        option = next((name for name in ("--keys", "--key-file") if name in known), None)
        where = f" and name that file with {option} FILE" if option else ""
        return f"a key {_WHY_NEVER}; write it into keys.yaml{where}"
    if _PASSWORD_OPTION.match(name):
        option = next((name for name in ("--mqtt-password-file", "--password-file") if name in known), None)
        configuration = "pool.yaml" if program.startswith(f"{_PROGRAM} pool") else "gateway.yaml"
        where = f"{option} FILE" if option else f"password_file in {configuration}"
        return f"a password {_WHY_NEVER}; write it into a file of its own and name that with {where}"
    return None


def _closest(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - for errors only

    found = difflib.get_close_matches(word, known, 1)
    return f": did you mean {found[0]}?" if found else ";"
