"""What to type where the libraries of an extra are missing: with pip, or with apt for the Debian package."""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

#: Here Debian's packages install Python code, and nothing else does.
_DEBIAN: Final = Path("/usr/lib/python3/dist-packages")
#: The libraries of each extra in pyproject.toml, as Debian calls them.
DEBIAN_PACKAGES: Final = {
    "plot": ("python3-cairosvg", "python3-pygal"),
    "pool": ("python3-pika", "python3-psycopg"),
    "web": (
        "python3-bottle",
        "python3-jinja2",
        "python3-prometheus-client",
        "python3-pygal",
        "python3-waitress",
    ),
}


def is_debian_package() -> bool:
    """True if the Debian package has installed this program."""
    return Path(__file__).is_relative_to(_DEBIAN)


def installation(*extras: str) -> str:
    """Return the command that installs extras."""
    if is_debian_package():
        packages = dict.fromkeys(package for extra in extras for package in DEBIAN_PACKAGES[extra])
        return f"sudo apt install {' '.join(packages)}"
    command = f"pip install 'smarty-gateway[{','.join(extras)}]'"
    if sys.prefix == sys.base_prefix:
        return command
    # The pip that is found first is another one, which Debian allows no packages of its own.
    sudo = "" if os.access(sys.prefix, os.W_OK) else "sudo "
    return f"{sudo}{shlex.quote(sys.prefix)}/bin/python -m {command}"
