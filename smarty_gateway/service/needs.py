"""What a configuration needs of the system when it runs as a service, and what it cannot have there.

The service has a user of its own that sees little: no home folders, no /tmp of others, no file that is not
readable for all. What it needs beyond that stands in its unit.
"""

import grp
import os
import pwd
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import smarty_gateway
from smarty_gateway.config.key_file import DEFAULT_KEY_FILES
from smarty_gateway.config.small_file import is_there
from smarty_gateway.config.values import Config
from smarty_gateway.sources.address import Kind

NAME: Final = "smarty-gateway"
STATE_FOLDER: Final = Path("/var/lib/smarty-gateway")
RUNTIME_FOLDER: Final = Path("/run/smarty-gateway")
#: Where systemd puts credentials; a configuration may name them there.
_CREDENTIALS: Final = Path("/run/credentials/smarty-gateway.service")
#: ProtectHome= and PrivateTmp= hide these.
_HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - see above
#: What needs no quotes in a unit.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./@+,=-]+")
#: Of serial ports: Debian and its relatives, Arch and its relatives.
_PORT_GROUPS: Final = ("dialout", "uucp")
_FIRST_FREE_PORT: Final = 1024
#: systemd's range for DynamicUser=, and the user that owns what has no owner.
_DYNAMIC_USERS: Final = range(61184, 65520)
_NOBODY: Final = 65534
_AS_MODULE: Final = " -m smarty_gateway"


@dataclass(frozen=True, slots=True)
class Needs:
    """What stands in the units.

    Attributes:
        program: the command of this installation.
        config: the path of gateway.yaml.
        secrets: files that only root can read.
        mail_secrets: likewise, for the report alone.
        public: files that the service reads as its own user.
        groups: of the serial ports and pseudo-terminals.
        has_links: pseudo-terminals have links in the service's folder below /run.
        gives_ports_away: pseudo-terminals get a group.
        folder: a folder for files beside the state.
        takes_low_ports: it listens on a port that is for root.
    """

    program: str
    config: Path
    secrets: tuple[Path, ...] = ()
    mail_secrets: tuple[Path, ...] = ()
    public: tuple[Path, ...] = ()
    groups: tuple[str, ...] = ()
    has_links: bool = False
    gives_ports_away: bool = False
    folder: Path | None = None
    takes_low_ports: bool = False

    @property
    def executable(self) -> str:
        """The file that is executed: the command, or Python."""
        return self.program.removesuffix(_AS_MODULE)


def own_program() -> str:
    """Return how to start the program that runs now."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(folder / NAME, os.X_OK):
            return str(folder / NAME)
    return f"{sys.executable}{_AS_MODULE}"


def needs_of(config: Config, path: Path, program: str) -> Needs:
    """Return what a configuration needs.

    Args:
        config: the content of gateway.yaml.
        path: of gateway.yaml.
        program: see `own_program`.
    """
    outputs = config.outputs
    folder = None if outputs.files is None else outputs.files.folder
    ports = [tcp.port for tcp in outputs.tcp] + ([] if outputs.http is None else [outputs.http.port])
    return Needs(
        program,
        path,
        secrets=tuple(secrets_of(config, path.parent)),
        mail_secrets=_files(path.parent, outputs.mail),
        public=tuple(dict.fromkeys(_public(config, path))),
        groups=tuple(
            dict.fromkeys([*_port_groups(config), *(pty.group for pty in outputs.pty if pty.group)])
        ),
        has_links=any(pty.link.is_relative_to(RUNTIME_FOLDER) for pty in outputs.pty),
        gives_ports_away=any(pty.group for pty in outputs.pty),
        folder=None if folder is None or folder.is_relative_to(STATE_FOLDER) else folder,
        takes_low_ports=any(port < _FIRST_FREE_PORT for port in ports),
    )


def secrets_of(config: Config, folder: Path) -> Iterator[Path]:
    """Yield the files with secrets that the gateway reads.

    Args:
        config: names them.
        folder: of gateway.yaml; a credential is named after a file there.
    """
    keys = config.keys or next(filter(os.path.exists, DEFAULT_KEY_FILES[1:]), None)
    if keys is not None:
        yield keys
    outputs = config.outputs
    others = [other.settings for other in outputs.others]
    for part in (outputs.mqtt, outputs.http, outputs.influxdb, outputs.domoticz, outputs.forward, *others):
        yield from _files(folder, part)


def _public(config: Config, path: Path) -> Iterator[Path]:
    yield path
    outputs = config.outputs
    for part in (outputs.mqtt, outputs.influxdb, outputs.domoticz, outputs.forward, outputs.mail):
        yield from (file for name in ("ca_file", "cert_file") if (file := getattr(part, name, None)))
    yield from (meter.tariff for meter in config.meters if meter.tariff)


def _files(folder: Path, part: object) -> tuple[Path, ...]:
    """Return the files with secrets that a part of the configuration names."""
    found = (getattr(part, name, None) for name in ("password_file", "token_file", "key_file"))
    paths = [path for path in found if isinstance(path, Path)]  # of another package it may be anything
    return tuple(folder / path.name if path.parent == _CREDENTIALS else path for path in paths)


def _port_groups(config: Config) -> Iterator[str]:
    known = {group.gr_name for group in grp.getgrall()}
    for meter in config.meters:
        for source in meter.sources:
            if source.kind is not Kind.SERIAL:
                continue
            try:
                group = grp.getgrgid(source.path.stat().st_gid).gr_name
            except (OSError, KeyError):  # it is plugged in later
                group = next((name for name in _PORT_GROUPS if name in known), "root")
            if group != "root":
                yield group


def problems_of(config: Config, needs: Needs) -> Iterator[str]:
    """Yield what keeps the service from running: what is wrong, where, and what to do."""
    yield from _program_problems(needs)
    for path in needs.public:
        yield from _reading_problem(path)
    yield from _secret_problems((*needs.secrets, *needs.mail_secrets))
    yield from _place_problems(config, needs)


def _program_problems(needs: Needs) -> Iterator[str]:
    for path in (Path(needs.executable), Path(sys.executable), Path(smarty_gateway.__file__)):
        real = Path(os.path.realpath(path))
        if _is_hidden(path) or _is_hidden(real):
            yield (
                f"{real}: a service does not see home folders; install the program in /opt/{NAME}, as "
                "docs/install.md shows, and type the command from there"
            )
            return
        yield from _reading_problem(path)


def _reading_problem(path: Path) -> Iterator[str]:
    """Yield why a user without rights cannot read a file."""
    real = Path(os.path.realpath(path))
    if _is_hidden(path) or _is_hidden(real):
        yield f"{path}: a service does not see home folders and /tmp; move the file to /etc/{NAME}"
    elif _PLAIN.fullmatch(str(path)) is None:
        yield f"{path}: a unit of systemd cannot name this path; use letters, digits and ._/@+- only"
    elif not os.path.exists(path):  # noqa: PTH110 - False, too, where the folder is closed
        yield f"{path} is not there; write the file, or remove its line from gateway.yaml"
    else:
        for closed in [folder for folder in real.parents if not folder.stat().st_mode & stat.S_IXOTH]:
            yield f"{closed}: the service cannot enter this folder; type: sudo chmod o+x {closed}"
        if not real.stat().st_mode & stat.S_IROTH:
            yield f"{path}: the service cannot read this file; type: sudo chmod o+r {path}"


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def _secret_problems(secrets: tuple[Path, ...]) -> Iterator[str]:
    first: dict[str, Path] = {}
    for path in dict.fromkeys(secrets):
        other = first.setdefault(path.name, path)
        if other is not path:
            yield f"{path} has the name of {other}; systemd needs two names, so rename one of the two"
        if _PLAIN.fullmatch(str(path)) is None:
            yield f"{path}: a unit of systemd cannot name this path; use letters, digits and ._/@+- only"
        if not os.path.exists(path):  # noqa: PTH110 - likewise
            yield f"{path} is not there; write the file (chmod 600), or remove its line from gateway.yaml"


def _place_problems(config: Config, needs: Needs) -> Iterator[str]:
    """Yield the folders that the service cannot have."""
    if config.state is not None and config.state != STATE_FOLDER:
        yield f"state: the service keeps its state in {STATE_FOLDER}; remove this line from gateway.yaml"
    known = {group.gr_name for group in grp.getgrall()}
    for pty in config.outputs.pty:
        if not pty.link.is_relative_to(RUNTIME_FOLDER):
            yield f"pty: the service cannot make {pty.link}; write link: {RUNTIME_FOLDER / pty.link.name}"
        if pty.group is not None and pty.group not in known:
            yield f"pty: there is no group {pty.group}; type: sudo groupadd --system {pty.group}"
    folder = needs.folder
    if folder is None:
        return
    if _is_hidden(folder) or _PLAIN.fullmatch(str(folder)) is None:
        yield f"files: the service cannot write to {folder}; write folder: {STATE_FOLDER / 'telegrams'}"
    elif is_foreign(folder):
        yield f"files: {folder} is used for something else; name a folder that is empty, or not there yet"


def is_foreign(folder: Path) -> bool:
    """True if a folder holds what the service did not write: it shall not get that folder."""
    if not os.path.lexists(folder):
        return False
    if folder.is_symlink() or not folder.is_dir():
        return True
    try:
        return not _is_of_service(folder.stat().st_uid) and any(folder.iterdir())
    except PermissionError:
        return False  # without root nothing is installed, only shown


def _is_of_service(owner: int) -> bool:
    """True if the owner of a folder is the user of the service."""
    state = Path("/var/lib/private") / NAME
    if not is_there(state):
        return False
    state_owner = state.stat().st_uid
    if state_owner == _NOBODY:  # since systemd 257 all dynamic users' files are nobody's on the disk
        named = {user.pw_uid for user in pwd.getpwall() if user.pw_name == NAME}
        return owner in named or owner in _DYNAMIC_USERS
    return owner == state_owner != 0
