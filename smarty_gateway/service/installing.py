"""`service install` and `service uninstall`: what is there, what changes, and whether the service runs."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import smarty_gateway
from smarty_gateway.config.container import START_ADVICE
from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.config.needs import unmet_needs
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.service.changes import Changes
from smarty_gateway.service.needs import NAME, STATE_FOLDER, Needs, needs_of, own_program, problems_of
from smarty_gateway.service.system import System, UnfitSystemError, answer
from smarty_gateway.service.udev import RULES, rules_for
from smarty_gateway.service.units import MARK, REPORT_UNITS, TIMERS, UNIT, report_texts, unit_text
from smarty_gateway.setup.terminal import RejectedError, Terminal
from smarty_gateway.sources.container import is_in_container

_RULES_READ: Final = (
    ("udevadm", "control", "--reload"),
    ("udevadm", "trigger", "--settle", "--subsystem-match=tty"),
)
_RELOAD: Final = ("systemctl", "daemon-reload")
#: A Luxembourg meter sends every 10 s.
_FIRST_READINGS_SECONDS: Final = 20.0
_LOOK_EVERY: Final = 0.5
_ALL_SEND: Final = re.compile(r"(\d+) of \1 ")


class UnfitError(GatewayError):
    """The configuration cannot be that of the service."""

    exit_status = ExitStatus.UNUSABLE_FILE


class Installation:
    """One run of the command.

    Args:
        system: where the files are.
        terminal: to ask at.
        config_path: of gateway.yaml.
        dry_run: show everything, and change nothing.
    """

    def __init__(self, system: System, terminal: Terminal, config_path: Path, *, dry_run: bool) -> None:
        self._system = system
        self._terminal = terminal
        self._path = config_path.absolute()
        self._is_dry = dry_run
        self._program = own_program()

    def install(self) -> ExitStatus:
        """Install the service, or update it, and return once it is ready.

        Raises:
            GatewayError: it cannot be installed, or it does not start.
        """
        self._require_system("install")
        config = self._config()
        needs = needs_of(config, self._path, self._program)
        problems = list(problems_of(config, needs))
        if problems:
            for problem in problems:
                self._terminal.say(problem)
            return ExitStatus.UNUSABLE_FILE
        changes = Changes()
        self._add_names_of_ports(config, changes)
        changes.texts[self._system.units / UNIT] = unit_text(needs)
        timers = self._add_timers(config, needs, changes)
        self._add_commands(needs, timers, changes)
        changes.show(self._terminal)
        self._show_drop_ins()
        self._show_other_installations(needs)
        if self._is_dry:
            self._terminal.say("Nothing was changed: --dry-run.")
            return ExitStatus.GOOD
        if changes.commands or changes.changed:
            self._confirm()
            self._change(changes)
        self._show_result()
        return ExitStatus.GOOD

    def uninstall(self) -> ExitStatus:
        """Stop the service, and remove what `install` has written.

        Raises:
            GatewayError: it cannot be removed.
        """
        self._require_system("uninstall")
        units, rules = self._system.units, self._system.rules / RULES
        files = [path for path in (*(units / name for name in (UNIT, *REPORT_UNITS)), rules) if path.exists()]
        own = [path for path in files if _is_own(path)]
        if rules in own and self._names_a_port_by(rules):
            files.remove(rules)
            own.remove(rules)
            self._terminal.say(f"{rules} stays: {self._path} names a port by it.")
        for path in files:
            if path not in own:
                self._terminal.say(f"{path} stays: it is not of `service install`; type: sudo rm {path}")
        if not own:
            self._terminal.say(self._why_nothing_is_removed())
            return ExitStatus.GOOD
        commands = [_RELOAD, *(_RULES_READ if rules in own else ())]
        changes = Changes(_stopping(own), dict.fromkeys(own), commands)
        changes.show(self._terminal)
        self._terminal.say(
            f"These stay: {self._path.parent}, {STATE_FOLDER} (the history and the frame counters) and the "
            "program. docs/install.md shows how to remove them."
        )
        self._show_drop_ins()
        if self._is_dry:
            self._terminal.say("Nothing was changed: --dry-run.")
            return ExitStatus.GOOD
        self._confirm()
        changes.make()
        self._terminal.say("The service is removed.")
        return ExitStatus.GOOD

    def _why_nothing_is_removed(self) -> str:
        if not (self._system.packaged / UNIT).exists():
            return "The service is not installed."
        return (
            "`service install` has installed nothing here. To stop the service of the distribution's "
            f"package now and after a restart, type: sudo systemctl disable --now {NAME}"
        )

    def _names_a_port_by(self, rules: Path) -> bool:
        """True if gateway.yaml has a name that the rules give to a port."""
        text = self._path.read_text("utf-8", "replace") if self._path.exists() else ""
        links = re.findall('SYMLINK\\+="([^"]+)"', rules.read_text("utf-8", "replace"))
        return any(f"/dev/{link}" in text for link in links)

    def _require_system(self, verb: str) -> None:
        """Raise UnfitSystemError where the service cannot be changed; a dry run needs nothing."""
        if not self._system.has_systemd:
            text = "systemd does not run on this machine; start `smarty-gateway run` by other means"
            if is_in_container():
                text = f"systemd does not run in a container; {START_ADVICE}"
            if not self._is_dry:
                raise UnfitSystemError(text)
            self._terminal.say(f"Only for a look: {text}.")
        elif not self._is_dry and not self._system.is_root:
            raise UnfitSystemError(
                f"only root can do this; type: sudo {self._program} service {verb} --config {self._path}"
            )

    def _config(self) -> Config:
        if not self._path.exists():
            raise UnfitError(
                f"there is no {self._path}; type: sudo mkdir -p {self._path.parent} && sudo {self._program} "
                f"setup --folder {self._path.parent}"
            )
        config = load_config(self._path)
        if self._system.is_root:  # nobody else can read the passwords
            for need in unmet_needs(config):
                raise need
        return config

    def _add_names_of_ports(self, config: Config, changes: Changes) -> None:
        """Offer a rule of udev for each port whose name may change hands."""
        path = self._system.rules / RULES
        rules = path.read_text("utf-8") if path.exists() else MARK
        text = self._path.read_text("utf-8")
        for port, link, rule in rules_for(config):
            self._terminal.say(
                f"{port} may be another adapter after a restart. A rule of udev can give the one that is "
                f"there now ({port.resolve()}) a name of its own."
            )
            if self._terminal.confirm(f"Name it {link}, also in gateway.yaml?"):
                rules += "" if rule in rules else rule
                text = re.sub(rf"(?<![\w/]){re.escape(str(port))}(?![\w-])", str(link), text)
        if rules != MARK:
            changes.texts[path] = rules
        if text != self._path.read_text("utf-8"):
            changes.texts[self._path] = text

    def _add_timers(self, config: Config, needs: Needs, changes: Changes) -> tuple[str, ...]:
        """Offer the mails, if there is a mail server, else remove them; return the timers that are new."""
        if config.outputs.mail is None:
            old = [path for path in map(self._system.units.joinpath, REPORT_UNITS) if _is_own(path)]
            changes.first += _stopping(old)
            changes.texts |= dict.fromkeys(old)
            return ()
        new = tuple(name for name in TIMERS if not (self._system.units / name).exists())
        if new and not self._terminal.confirm("Mail a report of each day and month?"):
            return ()
        changes.texts |= {self._system.units / name: text for name, text in report_texts(needs).items()}
        return new

    def _add_commands(self, needs: Needs, timers: tuple[str, ...], changes: Changes) -> None:
        changed = changes.changed
        if self._system.rules / RULES in changed:
            changes.commands += _RULES_READ
        if needs.folder is not None and not needs.folder.exists():
            changes.commands.append(("mkdir", "-p", str(needs.folder)))
        if any(path.parent == self._system.units for path in changed):
            changes.commands.append(_RELOAD)
        to_enable = [name for name in (UNIT, *timers) if not _holds("is-enabled", name)]
        if to_enable:
            changes.commands.append(("systemctl", "enable", *to_enable))
        started = [name for name in (UNIT, *timers) if not _holds("is-active", name)]
        if UNIT not in started and (changed or self._is_older(needs)):
            changes.commands.append(("systemctl", "restart", UNIT))
        if started:
            changes.commands.append(("systemctl", "start", *started))

    def _is_older(self, needs: Needs) -> bool:
        """True if the service runs with another program, configuration or secret than are there now."""
        text = _property("ExecMainStartTimestampMonotonic")  # in microseconds
        if not text.isdecimal():
            return False
        # The clock of the machine may have been set since.
        started = time.time() - time.monotonic() + int(text) / 1e6
        # pip changes the folder of all packages whichever it installs.
        program = Path(smarty_gateway.__file__).parents[1]
        files = [program, needs.config, *needs.public, *needs.secrets]
        return any(path.stat().st_mtime > started for path in files if path.exists())

    def _show_drop_ins(self) -> None:
        folder = self._system.units / f"{UNIT}.d"
        for path in sorted(folder.glob("*.conf")):
            self._terminal.say(f"{path} stays as it is: your own settings.")

    def _show_other_installations(self, needs: Needs) -> None:
        """Name the programs that a shell would find, and that are not this one."""
        found = (shutil.which(NAME, path=folder) for folder in os.get_exec_path())
        others = dict.fromkeys(os.path.realpath(path) for path in found if path is not None)
        others.pop(os.path.realpath(needs.executable), None)
        for path in others:
            self._terminal.say(f"{path} is another installation; the service starts {needs.program}.")

    def _confirm(self) -> None:
        if not self._terminal.confirm("Do it?"):
            raise RejectedError("nothing was changed")

    def _change(self, changes: Changes) -> None:
        try:
            changes.make()
        except UnfitSystemError:
            lines = "\n".join(_journal(10))
            if lines:
                self._terminal.say("The last lines of the service:")
                self._terminal.quote(lines)
            raise

    def _show_result(self) -> None:
        """Wait for the first readings, and print what the service says."""
        until = time.monotonic() + _FIRST_READINGS_SECONDS
        while not _ALL_SEND.match(status := _property("StatusText")) and time.monotonic() < until:
            self._terminal.dot()
            time.sleep(_LOOK_EVERY)
        self._terminal.say(f"\nThe service runs: {status or 'active'}")
        self._terminal.quote("\n".join(_journal(5)))
        self._terminal.say(f"Its log: journalctl -u {NAME} -f")


def _is_own(path: Path) -> bool:
    return path.exists() and path.read_text("utf-8", "replace").startswith(MARK)


def _stopping(units: Sequence[Path]) -> list[Sequence[str]]:
    """Return the commands that stop what will be removed."""
    names = [path.name for path in units]
    active = [name for name in names if name in (UNIT, *TIMERS)]
    commands: list[Sequence[str]] = [("systemctl", "disable", "--now", *active)] if active else []
    if REPORT_UNITS[0] in names:  # a mail may wait for another attempt
        commands.append(("systemctl", "stop", REPORT_UNITS[0].replace("@", "@*")))
    return commands


def _holds(question: str, unit: str) -> bool:
    return answer("systemctl", question, "--quiet", unit)[0] == 0


def _property(name: str) -> str:
    return answer("systemctl", "show", f"--property={name}", "--value", UNIT)[1]


def _journal(count: int) -> Iterator[str]:
    """Yield the last lines of the last start."""
    started = _property("InvocationID")
    if re.fullmatch("[0-9a-f]{32}", started):
        _, text = answer(
            "journalctl",
            "--no-pager",
            "--output=cat",
            f"--lines={count}",
            f"_SYSTEMD_INVOCATION_ID={started}",
        )
        yield from text.splitlines()
