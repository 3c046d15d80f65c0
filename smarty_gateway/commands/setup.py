"""`setup`: from nothing to the first reading. Here are its options, and how it ends.

It can be left at any time. A key or password is written as soon as it is proven, gateway.yaml at the end, and
the next `setup` goes on with what is there.
"""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from smarty_gateway.commands.chosen import refuse_in_app
from smarty_gateway.commands.options import Subparsers, seconds
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.config.extras import is_debian_package
from smarty_gateway.config.needs import WEB_INSTALLATION, has_web
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.setup.answers import GATEWAY_FILE, NAME, SERVICE_FOLDER, Answers, Existing, Page
from smarty_gateway.setup.terminal import LeftError, MissingOptionError, Terminal
from smarty_gateway.signals import handling

#: A meter in Luxembourg sends every 10 s.
_SECONDS: Final = 12.0
_DEV: Final = Path("/dev")


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "setup",
        help="find the meter, try its key and the broker, write keys.yaml and gateway.yaml",
        description="Asks a few questions, listens to the ports, tries the key on the meter and the password "
        "on the broker, writes keys.yaml, gateway.yaml and the passwords of broker and page, and shows the "
        "first reading. Each option answers a question. A key or password is never an option, but may be "
        "in a file.",
    )
    add = parser.add_argument
    add("--port", metavar="SOURCE", help="where the meter is: a port, tcp://host:port or rfc2217://host:port")
    add("--name", help=f"the meter's name in topics and in Home Assistant (default {NAME})")
    add("--reference-power", metavar="KW", help="Luxembourg: the reference power on the bill, in kW")
    add(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="holds the meter's key and nothing else, or is a keys.yaml",
    )
    add("--broker", metavar="URL", help="mqtt[s]://[user@]host[:port], or none")
    add("--user", help="the user name at the broker")
    add("--password-file", type=Path, metavar="FILE", help="holds the password of the broker")
    add("--ca-file", type=Path, metavar="FILE", help="the certificate of the CA that signed the broker's")
    add(
        "--home-assistant", action=argparse.BooleanOptionalAction, help="announce the meter to Home Assistant"
    )
    add(
        "--page",
        choices=[choice.value for choice in Page],
        help="who can open the page in a browser: here (this computer only; default), network (with a "
        "password), or none; needs the extra web",
    )
    add("--page-password-file", type=Path, metavar="FILE", help="holds the password of the page")
    add(
        "--existing",
        choices=[choice.value for choice in Existing],
        help="what to do with a gateway.yaml that is there: keep it, add the meter, or replace it (the old "
        "one becomes gateway.yaml.bak)",
    )
    add(
        "--folder",
        type=Path,
        default=SERVICE_FOLDER if is_debian_package() and os.geteuid() == 0 else Path(),
        metavar="DIR",
        help="where the files are written (default: here; with the Debian package, as root: "
        f"{SERVICE_FOLDER})",
    )
    add("--yes", action="store_true", help="do not ask where there is a default")
    add(
        "--seconds",
        type=seconds,
        default=_SECONDS,
        metavar="N",
        help=f"how long to listen to a silent port (default {_SECONDS:.0f})",
    )
    add("--dev", type=Path, default=_DEV, metavar="DIR", help="the folder with the ports (default /dev)")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Set a meter up.

    Raises:
        GatewayError: an answer is missing, or what an option says is not accepted.
    """
    refuse_in_app("enter the meters and their keys in its Configuration tab, then restart it")
    from smarty_gateway.setup.steps import Steps  # noqa: PLC0415 - loads paho-mqtt

    options = vars(args)
    for name in ("port", "name", "reference_power", "broker", "user", "ca_file"):
        if not str(options[name]).isprintable():  # nor is what is no UTF-8
            raise WrongUsageError(f"--{name.replace('_', '-')}: there are invisible characters in it")
    options["existing"] = options["existing"] and Existing(options["existing"])
    options["page"] = options["page"] and Page(options["page"])
    if options["page"] in (Page.HERE, Page.NETWORK) and not has_web():
        raise WrongUsageError(f"--page {args.page} needs the extra web; type: {WEB_INSTALLATION}")
    answers = Answers(**{name: options[name] for name in Answers.__dataclass_fields__})
    # Standard input is None where the parent process closed it.
    is_there = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    terminal = Terminal(is_there=is_there, takes_defaults=args.yes)
    if not is_there:
        _require_options(answers, takes_defaults=args.yes)
    try:
        with handling({signal.SIGTERM: _leave, signal.SIGHUP: _leave}), ExitStack() as stack:
            return Steps(answers, terminal, stack).run()
    except (KeyboardInterrupt, LeftError):
        terminal.say(
            "\nLeft before the end. What was proven is kept, and `smarty-gateway setup` goes on from there."
        )
        return ExitStatus.INTERRUPTED


def _leave() -> None:
    raise KeyboardInterrupt


def _require_options(answers: Answers, *, takes_defaults: bool) -> None:
    """Raise MissingOptionError that names all options which must be there without a terminal."""
    exists = os.access(answers.folder / GATEWAY_FILE, os.F_OK)
    missing = [] if takes_defaults else ["--yes"]
    if exists and answers.existing is None:
        missing.append(f"--existing {'|'.join(Existing)}")
    if not exists or answers.existing is not Existing.KEEP:
        missing += ["--port SOURCE"] * (answers.port is None)
    if not exists or answers.existing is Existing.REPLACE:
        missing += ["--broker URL (or none)"] * (answers.broker is None)
    if missing:
        raise MissingOptionError(
            f"there is no terminal to ask at, so these options are missing: {', '.join(missing)}; for a "
            "meter that encrypts also --key-file FILE"
        )
