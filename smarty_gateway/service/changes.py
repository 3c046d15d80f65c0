"""What is about to change on the system: shown first, then done."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smarty_gateway.config.whole_file import write_public
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.service.system import UnfitSystemError, answer
from smarty_gateway.setup.terminal import Terminal


@dataclass
class Changes:
    """Files and commands.

    Attributes:
        first: commands that are run before the files change: systemd must know a unit while it stops it.
        texts: what files will hold; None for a file that is removed.
        commands: are run after that, in this order.
    """

    first: list[Sequence[str]] = field(default_factory=list)
    texts: dict[Path, str | None] = field(default_factory=dict)
    commands: list[Sequence[str]] = field(default_factory=list)

    @property
    def changed(self) -> list[Path]:
        """The files that are not yet as they will be."""
        return [path for path, text in self.texts.items() if _present(path) != text]

    def show(self, terminal: Terminal) -> None:
        """Print every file, or how it changes, and every command."""
        for path, text in self.texts.items():
            _show_file(terminal, path, _present(path), text)
        if commands := [*self.first, *self.commands]:
            terminal.say("Commands:")
            terminal.quote("\n".join(" ".join(command) for command in commands))

    def make(self) -> None:
        """Write the files, and run the commands.

        Raises:
            GatewayError: a file cannot be written, or a command failed.
        """
        _run(self.first)
        for path in self.changed:
            text = self.texts[path]
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(exist_ok=True)
                write_public(path, text)
        _run(self.commands)


def _run(commands: Iterable[Sequence[str]]) -> None:
    for command in commands:
        status, said = answer(*command)
        if status:
            why = said.partition("\n")[0] or f"exit status {status}"
            raise UnfitSystemError(f"{' '.join(command)} failed: {why}")


def _present(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GatewayError(f"cannot read {path}: {error.strerror}") from None


def _show_file(terminal: Terminal, path: Path, old: str | None, new: str | None) -> None:
    if old == new:
        if new is not None:
            terminal.say(f"{path} stays as it is.")
    elif new is None:
        terminal.say(f"{path} will be removed.")
    elif old is None:
        terminal.say(f"{path} will be:")
        terminal.quote(new)
    else:
        terminal.say(f"{path} will change:")
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm="")
        terminal.quote("\n".join(list(lines)[2:]))
