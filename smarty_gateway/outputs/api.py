"""What an output of another package is made of: stable, and described in docs/own-output.md.

Anything else in `smarty_gateway.outputs` and `smarty_gateway.config` may change with every version.
"""

from smarty_gateway.config.other_outputs import OutputKind
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.settings import (
    BOOLEAN,
    Form,
    SettingError,
    choice,
    folder,
    list_of,
    number,
    one_or_list,
    parsed,
    path,
    seconds,
    section,
    setting,
)
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.chosen_meter import readings_of
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.outputs.queued import QueuedOutput
from smarty_gateway.outputs.threaded import ThreadedOutput

__all__ = [
    "BOOLEAN",
    "Attempts",
    "Config",
    "ConsumerAwayError",
    "Form",
    "GatewayHealth",
    "Health",
    "OutputKind",
    "PasswordFileError",
    "QueuedOutput",
    "Reading",
    "SettingError",
    "ThreadedOutput",
    "choice",
    "folder",
    "list_of",
    "number",
    "one_or_list",
    "parsed",
    "path",
    "read_password",
    "readings_of",
    "seconds",
    "section",
    "setting",
]
