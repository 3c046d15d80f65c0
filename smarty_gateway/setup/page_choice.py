"""The page: who can open it, and the password that it needs beyond this machine."""

from pathlib import Path

from smarty_gateway.config.needs import has_web
from smarty_gateway.config.password_file import only_line
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import HttpConfig
from smarty_gateway.setup.answers import PAGE_PASSWORD_FILE, Answers, Page
from smarty_gateway.setup.password import PasswordFile
from smarty_gateway.setup.terminal import Terminal
from smarty_gateway.sources.container import is_in_container

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the user wants it, and there is a password
_QUESTION = (
    "A page in the browser shows the readings and the history: on this computer only (`here`), in your whole "
    "network with a password, for the phone (`network`), or `none`."
)
_QUESTION_IN_CONTAINER = (
    "A page in the browser shows the readings and the history: with a password (`network`; `ports:` in "
    "compose.yaml says who reaches it), or `none`. `here` would be the inside of the container."
)


def choose_page(terminal: Terminal, answers: Answers) -> HttpConfig | None:
    """Return the page, whose password is written; None if there shall be none.

    Raises:
        GatewayError: what the options say cannot be used, or the password cannot be written.
    """
    given = answers.page
    if given is None and not has_web():
        return None
    if given is None:
        terminal.say(_QUESTION_IN_CONTAINER if is_in_container() else _QUESTION)
    # The loopback interface of a container is reached from nowhere.
    usual = Page.NETWORK if is_in_container() else Page.HERE
    chosen = terminal.ask_for("Page", "--page", _parse, given, usual)
    if chosen is Page.NONE:
        return None
    if chosen is Page.HERE:
        return HttpConfig()
    return HttpConfig(host=_EVERYWHERE, password_file=_password_file(terminal, answers))


def _password_file(terminal: Terminal, answers: Answers) -> Path:
    given = answers.page_password_file
    file = PasswordFile(answers.folder / PAGE_PASSWORD_FILE, terminal, given, "--page-password-file")
    while not (password := file.ask("Choose a password for the page")) and given is None:
        terminal.say("  In a network the page needs a password.")
    file.save(only_line(password.encode(), given or file.path).decode())
    return file.path


def _parse(text: str) -> Page:
    try:
        return Page(text.lower())
    except ValueError:
        raise SettingError("type here, network or none") from None
