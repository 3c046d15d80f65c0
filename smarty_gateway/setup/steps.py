"""The steps of `setup` in their order, from what is there to what to type next."""

import os
import shlex
import shutil
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from smarty_gateway.config.container import START_ADVICE, owner_advice
from smarty_gateway.config.edited_yaml import UneditableError, with_meter
from smarty_gateway.config.gateway_file import load_config, read_config
from smarty_gateway.config.key_file import key_file_problem, load_key_ring
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.small_file import is_there, read_small_file
from smarty_gateway.config.values import Config, HttpConfig, MqttConfig
from smarty_gateway.config.warnings import warnings
from smarty_gateway.config.whole_file import FileError, write_public
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.setup.answers import (
    GATEWAY_FILE,
    KEY_FILE,
    NAME,
    PASSWORD_FILE,
    SERVICE_FOLDER,
    UNKNOWN_POWER,
    Answers,
    Existing,
)
from smarty_gateway.setup.broker import try_broker
from smarty_gateway.setup.broker_choice import BrokerChoice
from smarty_gateway.setup.files import (
    config_of,
    gateway_text,
    keep_backup,
    meter_lines,
    parse_power,
)
from smarty_gateway.setup.keys import KeyStep
from smarty_gateway.setup.listening import Listener
from smarty_gateway.setup.page_choice import choose_page
from smarty_gateway.setup.port_choice import PortChoice
from smarty_gateway.setup.reading import reading_of
from smarty_gateway.setup.terminal import RejectedError, Terminal
from smarty_gateway.sources.container import is_in_container


class Steps:
    """One run of `setup`.

    Args:
        answers: what the options say.
        terminal: to ask at.
        stack: closes what was opened.
    """

    def __init__(self, answers: Answers, terminal: Terminal, stack: ExitStack) -> None:
        self._answers = answers
        self._terminal = terminal
        self._stack = stack
        self._news = threading.Event()
        self._path = answers.folder / GATEWAY_FILE
        self._is_service = os.path.realpath(answers.folder) == str(SERVICE_FOLDER)
        self._problems: list[str] = []

    def run(self) -> ExitStatus:
        """Set a meter up; the first reading goes to standard output.

        Raises:
            GatewayError: an answer is missing, cannot be used, or the user has left.
        """
        self._make_folder()
        present, existing = self._present()
        kept = present if existing is Existing.KEEP else None
        key_path = (present and present.keys) or self._answers.folder / KEY_FILE
        ring = load_key_ring(key_path) if key_path.exists() else KeyRing()
        ports = PortChoice(
            self._terminal, ring, dev=self._answers.dev, seconds=self._answers.seconds, news=self._news,
            stack=self._stack,
        )  # fmt: skip
        brokers = BrokerChoice(self._terminal, self._answers) if present is None else None
        if kept is None:
            listeners = [ports.choose(self._answers.port)]
        else:
            listeners = ports.listen([s for meter in kept.meters for s in meter.sources if s.is_live])
        keys = KeyStep(key_path, ring, self._terminal, self._answers.key_file, self._news)
        self._find_keys(keys, listeners)
        if kept is None:
            self._write(listeners[0], present, brokers, has_keys=key_path.exists())
        elif kept.outputs.mqtt is not None:
            self._check_broker(kept.outputs.mqtt)
        return self._end(listeners, keys.ring)

    def _make_folder(self) -> None:
        """Make the folder of the files. Where its parent is missing, too, the name probably has a typo."""
        folder = self._answers.folder
        try:
            if is_there(folder.parent) and not is_there(folder):
                with suppress(FileExistsError):
                    folder.mkdir()
            is_folder = is_there(folder) and folder.is_dir()
        except PermissionError:
            raise _no_permission(folder.parent) from None
        except OSError as error:
            raise FileError(f"{folder}: {error.strerror}") from None
        if not is_folder:
            raise FileError(f"{folder} is no folder; type: mkdir -p {shlex.quote(str(folder))}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _no_permission(folder)

    def _present(self) -> tuple[Config | None, Existing | None]:
        """Return the configuration that stays, and what becomes of it; None where there is none."""
        path, terminal = self._path, self._terminal
        if not path.exists():
            return None, None
        config, errors = read_config(path)
        if errors or config is None:
            terminal.say(f"{path} is there, but cannot be used: {errors[0]}")
        else:
            names = [
                f"{meter.name or meter.id or 'a meter'} on {meter.sources[0]}" for meter in config.meters
            ]
            terminal.say(f"{path} is there already, with {', '.join(names)}.")
        terminal.say(
            "  keep     check it, and ask for what is missing\n"
            "  add      add another meter to it\n"
            f"  replace  start anew; the old file becomes {path.name}.bak"
        )
        chosen = terminal.ask_for(
            "Keep, add or replace", "--existing", _existing, self._answers.existing, Existing.KEEP
        )
        return (None if chosen is Existing.REPLACE else load_config(path)), chosen

    def _find_keys(self, keys: KeyStep, listeners: list[Listener]) -> None:
        for listener in listeners:
            if listener.title is not None and not keys.find(listener, listener.title):
                self._problems.append(
                    "The key is missing, and without it nobody can read this meter. When you have it, type "
                    "`smarty-gateway setup` again, and `keep`: it then asks for the key only."
                )

    def _check_broker(self, broker: MqttConfig) -> None:
        """Try the broker of a configuration that is kept; the service's password is beside it."""
        file, own = broker.password_file, self._answers.folder / PASSWORD_FILE
        if file is not None and not os.access(file, os.R_OK) and own.exists():
            broker = replace(broker, password_file=own)
        try:
            try_broker(broker, None)
        except ConnectionFailed as failed:
            self._problems.append(f"{failed}.")
        else:
            self._terminal.say(f"The broker {broker.address} accepts the gateway.")

    def _write(
        self, listener: Listener, present: Config | None, brokers: BrokerChoice | None, *, has_keys: bool
    ) -> None:
        """Ask for what is left, and write gateway.yaml.

        Raises:
            GatewayError: it cannot be written, or is not to be.
        """
        path, terminal = self._path, self._terminal
        needs_keys = has_keys or listener.title is not None
        broker: MqttConfig | None = None
        page: HttpConfig | None = None
        power: str | None = None

        def text_of(name: str) -> str:
            meter = meter_lines(name, listener.address.text, listener.line, power)
            if present is not None:
                return self._extended(present, meter, needs_keys=needs_keys)
            return gateway_text(meter, broker, page, needs_keys=needs_keys)

        def parse(name: str) -> str:
            config_of(text_of(name))
            return name

        name = terminal.ask_for("Name of the meter", "--name", parse, self._answers.name, NAME)
        power = self._reference_power(listener)
        if brokers is not None:
            broker = brokers.choose()
            page = choose_page(terminal, self._answers)
        text = text_of(name)
        terminal.say(f"{path} will be:\n")
        terminal.quote(text)
        terminal.say()
        if not terminal.confirm("Write it?"):
            raise RejectedError(f"{path} was not written")
        if path.exists() and present is None:
            terminal.say(f"The old file is now {keep_backup(path)}")
        write_public(path, text, load_config)
        terminal.say(f"Written: {path}")

    def _reference_power(self, listener: Listener) -> str | None:
        """Return the reference power in kW; None where it is not known, or the meter is not in Luxembourg."""
        given = self._answers.reference_power
        if listener.title is None and given is None:
            return None
        if given is None:
            self._terminal.say(
                "In Luxembourg, what a quarter hour draws over the reference power costs extra. Your bill "
                "names that power (puissance de référence, Referenzleistung): 3, 7, 12 kW or more. Without "
                "it no excess is shown; you can add it later as `reference_power: 7` in gateway.yaml."
            )
        question, option = "Reference power in kW", "--reference-power"
        return self._terminal.ask_for(question, option, parse_power, given, UNKNOWN_POWER)

    def _extended(self, present: Config, lines: list[str], *, needs_keys: bool) -> str:
        """Return the text of gateway.yaml with another meter."""
        try:
            text = with_meter(read_small_file(self._path).decode(), lines)
        except UnicodeDecodeError:  # YAML may be UTF-16
            raise FileError(f"setup can change UTF-8 files only; save {self._path} as UTF-8") from None
        except UneditableError as error:
            raise FileError(
                f"setup cannot change {self._path} ({error}); write these lines below `meters:` yourself: "
                f"- {', '.join(lines)}"
            ) from None
        if needs_keys and present.keys is None:
            text = f"{text.rstrip()}\nkeys: {KEY_FILE}\n"
        if len(config_of(text).meters) != len(present.meters) + 1:
            raise FileError(f"setup cannot change {self._path}: other meters would be lost")
        return text

    def _end(self, listeners: list[Listener], ring: KeyRing) -> ExitStatus:
        """Check the files as `check` does, and show the first reading and what to type next."""
        say, folder = self._terminal.say, self._answers.folder
        config = load_config(self._path)
        key_path = config.keys or folder / KEY_FILE
        if key_path.exists():
            problem = key_file_problem(key_path, load_key_ring(key_path))
            self._problems += [] if problem is None else [str(problem)]
        for warning in warnings(config):
            if not warning.startswith("mqtt:"):  # the broker itself was asked
                say(f"warning: {warning}")
        trials = [listener.try_keys(ring, listener.title) for listener in listeners]
        readings = [trial.telegram for trial in trials if trial.telegram is not None]
        if readings:
            say()
            self._terminal.show(reading_of(readings[0]))
        elif not self._problems:
            source = listeners[0].address if listeners else "SOURCE"
            self._problems.append(f"No reading came yet. Find out why: smarty-gateway doctor {source}")
        say()
        if self._problems:
            say("\n".join(self._problems))
            return ExitStatus.REJECTED
        say(self._next(needs_keys=config.keys is None and key_path.exists()))
        return ExitStatus.GOOD

    def _next(self, *, needs_keys: bool) -> str:
        """Return what to type next; `run` does not look for keys.yaml beside a configuration."""
        folder = self._answers.folder
        if is_in_container():
            return f"What comes next: {START_ADVICE}"
        if self._is_service:
            # In an environment of its own the program is perhaps not where sudo looks for commands.
            program = "smarty-gateway" if shutil.which("smarty-gateway") else shlex.quote(sys.argv[0])
            return f"What to type next, to start it at boot:\n    sudo {program} service install"
        options = "" if folder.samefile(".") else f" --config {shlex.quote(str(self._path))}"
        if options and needs_keys:
            options += f" --keys {shlex.quote(str(folder / KEY_FILE))}"
        return (
            f"What to type next:\n    smarty-gateway run{options}\n"
            "It reads the meter until Ctrl-C. To have it started at boot: docs/systemd.md"
        )


def _no_permission(folder: Path) -> FileError:
    advice = owner_advice(folder) if is_in_container() else "begin the command with sudo"
    return FileError(f"no permission to write in {folder.absolute()}; {advice}")


def _existing(text: str) -> Existing:
    try:
        return Existing(text.lower())
    except ValueError:
        raise SettingError("type keep, add or replace") from None
