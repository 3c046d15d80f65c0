"""A password in a file beside gateway.yaml that nobody else can read."""

from pathlib import Path

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.whole_file import FileError, write_secret
from smarty_gateway.setup.broker import PASSWORD_MAX
from smarty_gateway.setup.terminal import RejectedError, Terminal


class PasswordFile:
    """A file with one password.

    Args:
        path: of the file.
        terminal: to ask at.
        given: a file with the password that an option names.
        option: its name.
    """

    def __init__(self, path: Path, terminal: Terminal, given: Path | None, option: str) -> None:
        self.path = path
        self._terminal = terminal
        self._given = given
        self._option = option

    def ask(self, what: str) -> str:
        """Return the password, which is empty where nothing was typed.

        Args:
            what: names the password in the question.

        Raises:
            GatewayError: the file cannot be read, or there is nobody to ask.
        """
        if self._given is not None:
            return _password_in(self._given)
        has_one = self.path.exists()
        question = f"{what}{f' (Enter: the one in {self.path.name})' if has_one else ''}"
        return self._terminal.ask_secret(question, self._option) or (
            _password_in(self.path) if has_one else ""
        )

    def save(self, password: str) -> None:
        """Write the password.

        Raises:
            GatewayError: it cannot be written, or another one is to stay.
        """
        if self.path.exists() and _password_in(self.path) != password:
            if not self._terminal.confirm(f"Replace the password in {self.path.name}?"):
                raise RejectedError(f"{self.path} stays as it is; name another folder with --folder")
        elif self.path.exists():
            return
        write_secret(self.path, f"{password}\n")
        self._terminal.say(f"Written: {self.path} (only you can read it)")


def _password_in(path: Path) -> str:
    try:
        data = read_small_file(path)
        if len(data) > PASSWORD_MAX:
            raise FileError(f"{path}: this is too long for a password; name a file that holds nothing else")
        return data.decode().strip("\r\n")
    except UnreadableFileError as error:
        raise FileError(f"{path}: the password cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: the password cannot be read: it is not text") from None
